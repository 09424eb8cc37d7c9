//! What a file tells about itself.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use inxtfs::emulator::{Action, Fault};
use inxtfs::fs::Config;
use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use super::world::{World, quick};
use crate::programs::{eventually, sh};

/// The value of one of ours, if the file has it.
pub fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut value = [0; 512];
    match getxattr(path, format!("user.inxtfs.{name}"), &mut value[..]) {
        Ok(len) => Some(String::from_utf8(value[..len].to_vec()).unwrap()),
        Err(Errno::NODATA) => None,
        Err(e) => panic!("{name}: {e}"),
    }
}

#[test]
fn a_file_tells_where_it_stands() {
    let world = World::with(Config { writeback_delay: Duration::from_secs(3600), ..quick() });
    let path = world.path("f.bin");
    let state = || attribute(&path, "state").unwrap();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    file.write_all(&[7; 100_000]).unwrap();
    assert_eq!((state().as_str(), attribute(&path, "uuid")), ("dirty", None));
    drop(file);
    assert_eq!((state().as_str(), attribute(&path, "cached").unwrap().as_str()), ("dirty", "100000"));
    world.drain();
    assert_eq!(state(), "clean");
    assert_eq!(attribute(&path, "uuid").unwrap(), world.row("f.bin").id.as_str());
    assert_eq!((attribute(&path, "error"), attribute(&path, "cached").unwrap()), (None, "100000".to_owned()));
    fs::create_dir(world.path("d")).unwrap();
    world.drain();
    let folder = world.path("d");
    assert_eq!(
        (attribute(&folder, "state").unwrap().as_str(), attribute(&folder, "cached")),
        ("clean", None)
    );
    assert!(attribute(&folder, "uuid").is_some());
}

#[test]
fn a_file_that_is_not_here_tells_so_and_asking_fetches_nothing() {
    let mut world = World::new();
    world.put("f.bin", &[7; 300_000]);
    world.forget();
    let path = world.path("f.bin");
    eventually("the name is known", || path.exists());
    let mark = world.mark();
    assert_eq!(attribute(&path, "cached").unwrap(), "0");
    assert_eq!(world.emulator.request_log().count_since(mark, "GET", "/shards/**"), 0);
    assert_eq!(fs::read(&path).unwrap().len(), 300_000);
    assert_eq!(attribute(&path, "cached").unwrap(), "300000");
}

#[test]
fn a_file_that_is_being_sent_or_cannot_be_tells_so() {
    let world = World::new();
    let path = world.path("f.bin");
    world.emulator.shared().knobs.set_latency(Duration::from_secs(1));
    fs::write(&path, [7; 1000]).unwrap();
    eventually("it is being sent", || attribute(&path, "state").unwrap() == "uploading");
    world.emulator.shared().knobs.set_latency(Duration::ZERO);
    world.rests(&[]);
    let refused = Action::Status {
        code: 402,
        body: Some(r#"{"statusCode":402,"message":"too large","error":"FILE_UPLOAD_SIZE_EXCEEDED"}"#.into()),
        retry_after: None,
    };
    world.emulator.shared().knobs.set_faults(vec![Fault::on("PUT", "/drive/files/*", refused)]);
    fs::write(&path, [8; 1000]).unwrap();
    eventually("it is refused", || attribute(&path, "state").unwrap() == "blocked");
    assert!(!attribute(&path, "error").unwrap().is_empty());
}

#[test]
fn former_contents_are_counted_when_somebody_asks() {
    let world = World::new();
    let path = world.path("f.pdf");
    world.put("f.pdf", b"one");
    assert_eq!(attribute(&path, "versions").unwrap(), "0");
    world.put("f.pdf", b"two");
    assert_eq!(attribute(&path, "versions").unwrap(), "1");
}

#[test]
fn other_attributes_are_politely_refused_and_ours_are_not_listed_and_not_set() {
    let world = World::new();
    let path = world.path("f");
    world.put("f", b"content");
    let mut none = [0; 64];
    assert_eq!(listxattr(&path, &mut none[..]), Ok(0));
    let set = |name: &str| setxattr(&path, name, b"x", XattrFlags::empty());
    assert_eq!(set("user.colour"), Err(Errno::OPNOTSUPP));
    assert_eq!(set("user.inxtfs.colour"), Err(Errno::OPNOTSUPP));
    assert_eq!(set("user.inxtfs.state"), Err(Errno::PERM));
    assert_eq!(getxattr(&path, "user.colour", &mut none[..]), Err(Errno::OPNOTSUPP));
    assert_eq!(getxattr(&path, "user.inxtfs.colour", &mut none[..]), Err(Errno::NODATA));
    assert_eq!(getxattr(&path, "user.inxtfs.state", &mut none[..2]), Err(Errno::RANGE));
    assert_eq!(removexattr(&path, "user.colour"), Err(Errno::OPNOTSUPP));
    assert_eq!(removexattr(&path, "user.inxtfs.uuid"), Err(Errno::PERM));
    // Nor are they taken along.
    let out = tempfile::tempdir().unwrap();
    sh("cp -a \"$1/f\" \"$2/copy\" && cp -a \"$1/f\" \"$1/g\"", &[world.root(), out.path()]);
    sh("rsync -aX \"$1/f\" \"$2/\"", &[world.root(), out.path()]);
    for name in ["copy", "f"] {
        let copy = out.path().join(name);
        assert_ne!(getxattr(&copy, "user.inxtfs.state", &mut none[..]).map(|_| ()), Ok(()), "{name}");
    }
    sh("ls -l \"$1\" && mv \"$1/g\" \"$2/g\"", &[world.root(), out.path()]);
}

#[test]
fn a_pin_can_be_set_and_taken_away_by_its_attribute() {
    let world = World::new();
    fs::create_dir(world.path("d")).unwrap();
    world.put("d/f", b"content");
    let (folder, file) = (world.path("d"), world.path("d/f"));
    let set = |path: &Path, value: &[u8]| setxattr(path, "user.inxtfs.pin", value, XattrFlags::empty());
    assert_eq!((attribute(&folder, "pin"), attribute(&file, "pin")), (None, None));
    set(&folder, b"1").unwrap();
    assert_eq!(attribute(&folder, "pin").as_deref(), Some("1"));
    assert_eq!(attribute(&file, "pin").as_deref(), Some("inherited"));
    assert_eq!(world.status().pinned.pins, 1);
    assert_eq!(set(&file, b"perhaps"), Err(Errno::INVAL));
    assert_eq!(removexattr(&file, "user.inxtfs.pin"), Err(Errno::NODATA));
    set(&file, b"1").unwrap();
    removexattr(&folder, "user.inxtfs.pin").unwrap();
    assert_eq!((attribute(&folder, "pin"), attribute(&file, "pin").as_deref()), (None, Some("1")));
    set(&file, b"0").unwrap();
    assert_eq!(attribute(&file, "pin"), None);
}
