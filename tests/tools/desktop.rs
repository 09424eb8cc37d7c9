//! A file manager as people use it: Thunar with its thumbnailer and the trash of gvfs, on a screen in memory.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inxtfs::emulator::Mark;
use inxtfs::pictures::uri_of;
use inxtfs::remote::Status;

use super::world::{Sent, World};
use crate::programs::{PATIENCE, eventually};

const PHOTO: &[u8] = include_bytes!("../fixtures/quarters.jpg");
/// As many as its window shows at a time.
const PHOTOS: usize = 12;
const FILE_MANAGER: [&str; 4] = ["--dest", "org.xfce.FileManager", "--object-path", "/org/xfce/FileManager"];

/// A screen and a session bus with a home of their own; programs start as they are called on the bus.
struct Desktop {
    home: tempfile::TempDir,
    session: Child,
    bus: String,
    display: String,
}

impl Desktop {
    /// Sees no mounts of others, where it may: it would look into all their trash, and some may be dead.
    fn new(home: tempfile::TempDir, world: &World) -> Self {
        let settings = home.path().join("config/Thunar");
        fs::create_dir_all(&settings).unwrap();
        // Its own keys for this are letters of a menu, and depend on what else is in that.
        let key = r#"(gtk_accel_path "<Actions>/ThunarActionManager/restore" "<Primary>F9")"#;
        fs::write(settings.join("accels.scm"), key).unwrap();
        let script = r#"
            if [ "$2" = apart ]; then
                awk -v ours="$1" '$3 ~ /^fuse/ && $2 != ours { print $2 }' /proc/self/mounts |
                    while read -r at; do umount -lci "$(printf '%b' "$at")" || true; done
            fi
            Xvfb -displayfd 3 -nolisten tcp 3>"$HOME/display" >"$HOME/log" 2>&1 &
            until grep -q . "$HOME/display" 2>/dev/null; do sleep 0.05; done
            read -r number <"$HOME/display"
            export DISPLAY=":$number"
            exec dbus-run-session -- sh -euc '
                echo "$DISPLAY $DBUS_SESSION_BUS_ADDRESS" >"$HOME/up"
                exec dbus-monitor "interface=org.freedesktop.thumbnails.Thumbnailer1"
            ' >"$HOME/pictures" 2>>"$HOME/log""#;
        let mut session = at_home(home.path(), "timeout");
        session.args(["-k", "5", "600"]).process_group(0);
        let apart = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
        let apart = apart.is_ok_and(|status| status.success());
        if apart {
            session.args(["unshare", "--mount", "--propagation", "private"]);
        }
        session.args(["sh", "-euc", script, "sh"]).arg(world.root()).arg(if apart { "apart" } else { "" });
        let session = session.stdin(Stdio::null()).spawn().unwrap();
        let mut desktop = Desktop { home, session, bus: String::new(), display: String::new() };
        let told = |name: &str| fs::read_to_string(desktop.home.path().join(name)).unwrap_or_default();
        // The last that the monitor hears for itself: from then on it hears everybody.
        eventually("the desktop is up", || told("pictures").contains("member=NameLost"));
        let up = told("up");
        let (display, bus) = up.trim().split_once(' ').unwrap();
        (desktop.display, desktop.bus) = (display.to_owned(), bus.to_owned());
        desktop
    }

    /// Runs a program in the session; `None` if it fails.
    fn run(&self, program: &str, args: &[&str]) -> Option<String> {
        let mut command = at_home(self.home.path(), "timeout");
        command.args(["-k", "5", &(PATIENCE / 2).as_secs().to_string(), program]).args(args);
        command.env("DISPLAY", &self.display).env("DBUS_SESSION_BUS_ADDRESS", &self.bus);
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Calls a method on the bus.
    fn call(&self, at: [&str; 4], method: &str, args: &[&str]) {
        let called =
            self.run("gdbus", &[&["call", "--session"], &at[..], &["--method", method], args].concat());
        assert!(called.is_some(), "{method} {args:?}: {}", self.told());
    }

    fn told(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// The addresses for which the thumbnailer has told that a picture is there.
    fn pictured(&self) -> Vec<String> {
        let heard = fs::read_to_string(self.home.path().join("pictures")).unwrap();
        let (mut ready, mut pictured) = (false, Vec::new());
        for line in heard.lines() {
            if !line.starts_with(' ') {
                ready = line.ends_with("member=Ready");
            } else if let Some((_, rest)) = line.split_once("string \"file://").filter(|_| ready) {
                pictured.push(format!("file://{}", rest.trim_end_matches('"')));
            }
        }
        pictured.sort();
        pictured.dedup();
        pictured
    }

    /// Processes of the session, whoever started them: the bus puts its own out of the group.
    fn processes(&self) -> Vec<rustix::process::Pid> {
        let home = format!("HOME={}", self.home.path().display());
        let numbers =
            fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        let ours = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|setting| setting == home.as_bytes())
        };
        numbers.filter(ours).filter_map(rustix::process::Pid::from_raw).collect()
    }
}

impl Drop for Desktop {
    /// The mount is to be free of them before it is unmounted.
    fn drop(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let left = self.processes();
            for process in &left {
                let _ = rustix::process::kill_process(*process, rustix::process::Signal::KILL);
            }
            let _ = self.session.try_wait();
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.session.wait();
    }
}

fn at_home(home: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("LC_ALL", "C.UTF-8");
    for (name, folder) in [("CACHE", "cache"), ("CONFIG", "config"), ("DATA", "data"), ("STATE", "state")] {
        command.env(format!("XDG_{name}_HOME"), home.join(folder));
    }
    command.env("GVFS_DISABLE_FUSE", "1").env("NO_AT_BRIDGE", "1");
    for foreign in ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"] {
        command.env_remove(foreign);
    }
    command
}

/// Some 200 KB, nearly all of it a maker's notes.
fn photo(n: usize) -> Vec<u8> {
    let mut photo = PHOTO[..2].to_vec();
    for _ in 0..3 {
        photo.extend([0xff, 0xef, 0xff, 0xff]);
        photo.extend(vec![u8::try_from(n).unwrap(); 65_533]);
    }
    photo.extend(&PHOTO[2..]);
    photo
}

/// A folder of photos that all have pictures on the server; nothing of it is known here.
fn photos(cache: &Path) -> World {
    let mut world = World::with_pictures(cache);
    let mark = world.mark();
    fs::create_dir(world.path("photos")).unwrap();
    for n in 0..PHOTOS {
        fs::write(world.path(&format!("photos/{n}.jpg")), photo(n)).unwrap();
    }
    world.drain();
    let made = || world.emulator.request_log().count_since(mark, "POST", "/drive/files/thumbnail");
    eventually("all have pictures", || made() == PHOTOS);
    world.forget();
    world
}

/// Bytes of objects that the service gave out since, pictures among them.
fn fetched(world: &World, mark: Mark) -> u64 {
    let log = world.emulator.request_log().since(mark);
    let gets = log.iter().filter(|e| e.method == "GET" && e.path.starts_with("/shards/"));
    gets.map(|e| e.response_bytes).sum()
}

#[test]
fn thunar_shows_a_folder_of_photos_for_less_than_a_hundredth_of_them() {
    let home = tempfile::tempdir().unwrap();
    let world = photos(&home.path().join("cache"));
    let desktop = Desktop::new(home, &world);
    // The thumbnailer is there before the pictures are.
    world.emulator.shared().knobs.set_latency(Duration::from_millis(150));
    let mark = world.mark();
    let folder = uri_of(&world.path("photos"));
    desktop.call(FILE_MANAGER, "org.xfce.FileManager.DisplayFolder", &[&folder, &desktop.display, ""]);
    eventually("it has a picture of each", || desktop.pictured().len() == PHOTOS);
    let (fetched, all) = (fetched(&world, mark), (0..PHOTOS).map(|n| photo(n).len() as u64).sum::<u64>());
    assert!(fetched > 0 && fetched * 100 < all, "{fetched} bytes of {all}");
    world.emulator.shared().knobs.set_latency(Duration::ZERO);
}

#[test]
fn what_thunar_trashes_is_in_the_services_trash_and_what_it_restores_is_out_of_it() {
    let world = World::new();
    let desktop = Desktop::new(tempfile::tempdir().unwrap(), &world);
    let (path, row) = (world.path("letter.txt"), world.put("letter.txt", b"content"));
    let status = || world.rows().into_iter().find(|r| r.id == row.id).unwrap().status;
    let mark = world.mark();
    let files = format!("['{}']", uri_of(&path));
    desktop.call(FILE_MANAGER, "org.xfce.Trash.MoveToTrash", &[&files, &desktop.display, ""]);
    eventually("it is in the trash", || !path.exists());
    world.drain();
    assert_eq!((world.sent(mark), status()), (Sent { trashes: 1, ..Sent::NOTHING }, Status::Trashed));

    // Other mounts of this machine have a trash, too, which its window shows: only this is selected in it.
    let mut item = String::new();
    eventually("it is listed", || {
        let listed = desktop.run("gio", &["trash", "--list"]).unwrap_or_default();
        let found = listed.lines().find(|line| line.ends_with(path.to_str().unwrap()));
        item = found
            .and_then(|line| line.split('\t').next())
            .map_or_else(String::new, |uri| format!("['{uri}']"));
        found.is_some()
    });
    let at = ["--dest", "org.freedesktop.FileManager1", "--object-path", "/org/freedesktop/FileManager1"];
    let begun = Instant::now();
    let mut shown: Option<Instant> = None;
    while !path.exists() {
        assert!(begun.elapsed() < PATIENCE, "not restored: {}", desktop.told());
        if shown.is_none_or(|shown| shown.elapsed() > PATIENCE / 6) {
            desktop.call(at, "org.freedesktop.FileManager1.ShowItems", &[&item, ""]);
            shown = Some(Instant::now());
        }
        // Nobody manages the windows of this screen: one has the keys if it is given them. Without a selection this does
        // nothing.
        let windows = desktop.run("xdotool", &["search", "--onlyvisible", "--name", "^Trash"]);
        if let Some(window) = windows.unwrap_or_default().lines().last() {
            desktop.run("xdotool", &["windowfocus", window, "key", "ctrl+F9"]);
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    world.drain();
    assert_eq!((status(), world.row("letter.txt").id), (Status::Exists, row.id));
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
}
