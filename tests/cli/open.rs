//! The desktop's entry: `inxtfs open`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::world::{World, eventually, is_mounted, signal};

/// A world whose desktop writes down what it is told to show.
struct Desktop {
    world: World,
    told: PathBuf,
}

impl Desktop {
    fn of(mut world: World) -> Self {
        let (bin, told) = (world.path("bin"), world.path("told"));
        fs::create_dir(&bin).unwrap();
        for name in ["xdg-open", "notify-send"] {
            let script = bin.join(name);
            let line = format!("#!/bin/sh\nprintf '%s\\n' {name} \"$@\" >>'{}'\n", told.display());
            fs::write(&script, line).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        world.set("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        Desktop { world, told }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.told).unwrap_or_default()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        let drive = self.world.path("Drive");
        if is_mounted(&drive) {
            let _ = Command::new("fusermount3").arg("-uzq").arg(&drive).status();
        }
    }
}

#[test]
fn the_icon_mounts_what_is_not_mounted_and_shows_it() {
    let desk = Desktop::of(World::logged_in());
    let world = &desk.world;
    let drive = world.path("Drive");
    let shown = format!("xdg-open\n{}\n", drive.display());
    world.run(["open", "--no-window"]).expect(0);
    assert!(is_mounted(&drive) && desk.told().is_empty());
    fs::write(drive.join("a.txt"), "kept").unwrap();
    world.run(["open"]).expect(0);
    assert_eq!(desk.told(), shown);
    let mounts = || {
        let status = world.run(["status", "--json"]).out;
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["mounts"].clone()
    };
    let pid = i32::try_from(mounts()[0]["mount"]["pid"].as_u64().unwrap()).unwrap();
    // It dies; the next click finds a mount that nobody answers.
    signal(pid, Signal::KILL);
    eventually("it is dead", || fs::read_dir(&drive).is_err());
    world.run(["open"]).expect(0);
    assert_eq!(desk.told(), shown.repeat(2));
    assert_eq!(fs::read_to_string(drive.join("a.txt")).unwrap(), "kept");
    world.run(["umount".as_ref(), drive.as_os_str()]).expect(0);
    assert_eq!(world.run(["umount".as_ref(), drive.as_os_str()]).code, 12);
}

#[test]
fn the_icon_says_on_the_desktop_what_is_in_the_way() {
    let desk = Desktop::of(World::new());
    let world = &desk.world;
    let ran = world.run(["open"]).expect(3);
    assert_eq!(ran.err, "inxtfs: nobody is logged in\nRun `inxtfs login`.\n");
    eventually("it is told", || desk.told().contains("Run `inxtfs login`"));
    assert!(
        desk.told().contains("Internxt Drive cannot be opened\nnobody is logged in\n"),
        "{}",
        desk.told()
    );
    let full = world.path("full");
    fs::create_dir_all(full.join("of things")).unwrap();
    world.login("demo@inxtfs.local", "demo").expect(0);
    let ran = world.run(["open".as_ref(), full.as_os_str()]).expect(7);
    assert!(ran.err.contains("is not empty"), "{}", ran.err);
    assert!(!desk.told().contains("xdg-open"));
    // A folder that nobody has, below a file.
    fs::write(world.path("file"), "").unwrap();
    let ran = world.run(["open".as_ref(), world.path("file/drive").as_os_str()]).expect(7);
    assert!(ran.err.contains("cannot be made"), "{}", ran.err);
}
