//! How the camera was held, as it noted that (Exif), and turning a picture accordingly.

use super::Picture;

/// The number of the note.
const ORIENTATION: u16 = 0x0112;
/// Its type: a number of two bytes.
const SHORT: u16 = 3;
/// Notes that are looked at.
const NOTES_MAX: usize = 512;

/// What a camera noted: 1 (or nothing, or nonsense) is upright.
pub(super) fn of(exif: &[u8]) -> u16 {
    look(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)).filter(|n| (1..=8).contains(n)).unwrap_or(1)
}

fn look(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let two: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let four: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
    let start = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) };
    let start = usize::try_from(start).ok()?;
    let count = usize::from(short(start)?);
    (0..count.min(NOTES_MAX)).find_map(|n| {
        let at = start.checked_add(2 + n * 12)?;
        (short(at)? == ORIENTATION && short(at + 2)? == SHORT).then(|| short(at + 8)).flatten()
    })
}

/// Turns and mirrors what was noted to be so.
pub(super) fn upright(picture: Picture, noted: u16) -> Picture {
    if noted <= 1 {
        return picture;
    }
    let (w, h) = (picture.width as usize, picture.height as usize);
    let (width, height) = if noted >= 5 { (h, w) } else { (w, h) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..height {
        for x in 0..width {
            // Where the pixel that belongs here is.
            let (from_x, from_y) = match noted {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                _ => (w - 1 - y, x),
            };
            let at = (from_y * w + from_x) * 4;
            pixels.extend_from_slice(&picture.pixels[at..at + 4]);
        }
    }
    let (width, height) =
        if noted >= 5 { (picture.height, picture.width) } else { (picture.width, picture.height) };
    Picture { width, height, pixels }
}
