use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::types::Timestamp;

const QUARTERS: &[u8] = include_bytes!("../../tests/fixtures/quarters.jpg");
const HELD: &[u8] = include_bytes!("../../tests/fixtures/held.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../../tests/fixtures/progressive.jpg");
const GREY: &[u8] = include_bytes!("../../tests/fixtures/grey.jpg");
const INTERLACED: &[u8] = include_bytes!("../../tests/fixtures/interlaced.png");

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const WHITE: [u8; 4] = [255; 4];

fn of(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 4]) -> Picture {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| colour(x, y));
    Picture { width, height, pixels: pixels.collect() }
}

fn secs(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}

fn low(n: u32) -> u8 {
    n.to_le_bytes()[0]
}

fn at(picture: &Picture, x: u32, y: u32) -> [u8; 4] {
    let at = (y * picture.width + x) as usize * 4;
    picture.pixels[at..at + 4].try_into().unwrap()
}

/// The middles of the quarters, as they are read.
fn quarters(picture: &Picture) -> [[u8; 4]; 4] {
    let (w, h) = picture.size();
    let clean = |[r, g, b, a]: [u8; 4]| {
        [r, g, b, a].map(|v| {
            if v < 32 {
                0
            } else if v > 223 {
                255
            } else {
                v
            }
        })
    };
    [(w / 4, h / 4), (w * 3 / 4, h / 4), (w / 4, h * 3 / 4), (w * 3 / 4, h * 3 / 4)]
        .map(|(x, y)| clean(at(picture, x, y)))
}

#[test]
fn pictures_of_each_kind_are_read() {
    for bytes in [QUARTERS, PROGRESSIVE, INTERLACED] {
        let picture = Picture::decode(bytes, 1000).unwrap();
        assert_eq!((picture.size(), quarters(&picture)), ((60, 40), [RED, GREEN, BLUE, WHITE]));
        let small = Picture::decode(bytes, 30).unwrap();
        assert_eq!((small.size(), quarters(&small)), ((30, 20), [RED, GREEN, BLUE, WHITE]));
    }
    let grey = Picture::decode(GREY, 1000).unwrap();
    assert_eq!((grey.size(), quarters(&grey)[3], at(&grey, 3, 3)), ((60, 40), WHITE, [76, 76, 76, 255]));
    let grey = of(3, 2, |x, y| [low(x * 50 + y); 4]);
    assert!(Picture::decode(&grey.to_png(&[]).unwrap(), 1000).unwrap() == grey, "opacity is kept");
}

#[test]
fn a_picture_is_turned_as_its_camera_was_held() {
    let picture = Picture::decode(HELD, 1000).unwrap();
    assert_eq!((picture.size(), quarters(&picture)), ((40, 60), [BLUE, RED, WHITE, GREEN]));
    let corners = of(2, 2, |x, y| [[RED, GREEN], [BLUE, WHITE]][y as usize][x as usize]);
    let turned = |noted| {
        let p = orient::upright(corners.clone(), noted);
        [at(&p, 0, 0), at(&p, 1, 0), at(&p, 0, 1), at(&p, 1, 1)]
    };
    assert_eq!(turned(2), [GREEN, RED, WHITE, BLUE]);
    assert_eq!(turned(3), [WHITE, BLUE, GREEN, RED]);
    assert_eq!(turned(4), [BLUE, WHITE, RED, GREEN]);
    assert_eq!(turned(5), [RED, BLUE, GREEN, WHITE]);
    assert_eq!(turned(7), [WHITE, GREEN, BLUE, RED]);
    assert_eq!(turned(8), [GREEN, WHITE, RED, BLUE]);
    for odd in [&b""[..], b"Exif\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"] {
        assert_eq!(orient::of(odd), 1);
    }
}

#[test]
fn shrinking_takes_the_mean_and_never_enlarges() {
    let stripes = of(300, 200, |x, _| if x % 2 == 0 { [0, 0, 0, 255] } else { WHITE });
    let small = stripes.within(30);
    assert_eq!(small.size(), (30, 20));
    assert!(small.pixels.chunks_exact(4).all(|p| p == [128, 128, 128, 255]));
    // What is not to be seen lends no colour.
    let half = of(2, 1, |x, _| if x == 0 { [255, 0, 0, 0] } else { [0, 0, 255, 255] });
    assert_eq!(half.within(1).pixels, [0, 0, 255, 128]);
    let odd = of(301, 7, |x, y| [low(x), low(y), 9, 255]).within(256);
    assert_eq!(odd.size(), (256, 5));
    assert!(odd.pixels.chunks_exact(4).all(|p| p[2] == 9 && p[3] == 255), "no pixel lacks a part");
    assert_eq!(of(500, 1, |_, _| RED).within(128).size(), (128, 1));
    assert!(stripes.within(300) == stripes);
}

#[test]
fn what_is_no_picture_or_takes_too_much_is_refused_before_it_is_decoded() {
    for odd in [&b""[..], b"GIF89a", b"\x89PNG", b"\xff\xd8\xff", &QUARTERS[..200], &INTERLACED[..100]] {
        assert!(Picture::decode(odd, 300).is_err());
    }
    let mut png = of(1, 1, |_, _| RED).to_png(&[]).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let crc = crc(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    assert!(matches!(Picture::decode(&png, 300), Err(Error::TooLarge(65_535, 65_535))));
    for (jpeg, fits) in [(QUARTERS, true), (PROGRESSIVE, false)] {
        let mut jpeg = jpeg.to_vec();
        let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0] || w == [0xff, 0xc2]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x0d, 0xac, 0x0d, 0xac]);
        assert_eq!(matches!(Picture::decode(&jpeg, 300), Err(Error::TooLarge(3500, 3500))), !fits);
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(Picture::decode(&jpeg, 300), Err(Error::TooLarge(65_535, 65_535))));
    }
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[test]
fn a_picture_lies_where_the_standard_says_and_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::below(dir.path());
    let uri = uri_of(Path::new("/home/jens/photos/me.png"));
    assert!(desktop.lacks(&uri, secs(7)));
    desktop.put(&uri, secs(7), &of(300, 200, |_, _| RED)).unwrap();
    assert!(
        !desktop.lacks(&uri, secs(7))
            && desktop.lacks(&uri, secs(8))
            && desktop.lacks("file:///other", secs(7))
    );
    for (folder, size) in [("normal", (128, 85)), ("large", (256, 170)), ("x-large", (300, 200))] {
        let folder = dir.path().join("thumbnails").join(folder);
        // The standard's own example.
        let place = folder.join("c6ee772d9e49320e97ec29a7eb5b1697.png");
        let mode = |p: &Path| p.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&place)), (0o700, 0o600));
        let bytes = std::fs::read(&place).unwrap();
        assert_eq!(Picture::decode(&bytes, 1000).unwrap().size(), size);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
    }
}

#[test]
fn a_valid_picture_is_left_alone_and_a_stale_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::below(dir.path());
    let uri = "file:///a";
    desktop.put(uri, secs(7), &of(10, 10, |_, _| RED)).unwrap();
    let large = desktop_file(dir.path(), uri);
    let notes = |mtime| [Note::Plain("Thumb::URI", uri), Note::Plain("Thumb::MTime", mtime)];
    let theirs = of(10, 10, |_, _| GREEN).to_png(&notes("7")).unwrap();
    std::fs::write(&large, &theirs).unwrap();
    assert!(!desktop.lacks(uri, secs(7)));
    desktop.put(uri, secs(7), &of(10, 10, |_, _| BLUE)).unwrap();
    assert_eq!(std::fs::read(&large).unwrap(), theirs);
    assert!(desktop.lacks(uri, secs(9)));
    desktop.put(uri, secs(9), &of(10, 10, |_, _| BLUE)).unwrap();
    assert!(!desktop.lacks(uri, secs(9)) && std::fs::read(&large).unwrap() != theirs);
    for odd in [&b""[..], b"no picture", &theirs[..60]] {
        std::fs::write(&large, odd).unwrap();
        assert!(desktop.lacks(uri, secs(9)));
    }
}

#[test]
fn a_picture_is_valid_for_who_compares_seconds_and_for_who_compares_microseconds() {
    let dir = tempfile::tempdir().unwrap();
    let (desktop, uri) = (Desktop::below(dir.path()), "file:///a");
    let mtime = Timestamp { secs: 7, nanos: 325_000_999 };
    desktop.put(uri, mtime, &of(10, 10, |_, _| RED)).unwrap();
    let large = desktop_file(dir.path(), uri);
    let bytes = std::fs::read(&large).unwrap();
    let at = |what: &[u8]| bytes.windows(what.len()).position(|some| some == what).unwrap();
    let precise = at(b"iTXtThumb::MTime\0\0\0\0\x007.325000");
    assert!(precise < at(b"tEXtThumb::URI\0file:///a") && at(b"tEXtThumb::MTime\x007") < at(b"IDAT"));
    let notes = |mtime| [Note::Plain("Thumb::URI", uri), Note::Plain("Thumb::MTime", mtime)];
    for (theirs, lacks) in [("7", false), ("7.325000", false), ("7.325001", true)] {
        std::fs::write(&large, of(10, 10, |_, _| GREEN).to_png(&notes(theirs)).unwrap()).unwrap();
        assert_eq!(desktop.lacks(uri, mtime), lacks, "{theirs}");
    }
}

fn desktop_file(cache: &Path, uri: &str) -> std::path::PathBuf {
    use md5::{Digest, Md5};
    cache.join(format!("thumbnails/large/{}.png", hex::encode(Md5::digest(uri))))
}

#[test]
fn addresses_are_written_as_glib_writes_them() {
    assert_eq!(
        uri_of(Path::new("/a b/ä#1;[x]~(2)&c=d+e,f:g@h!.png")),
        "file:///a%20b/%C3%A4%231%3B%5Bx%5D~(2)&c=d+e,f:g@h!.png"
    );
}
