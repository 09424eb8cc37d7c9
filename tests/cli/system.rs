//! Living on a system: mount(8) and fstab, service managers, packages.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::world::{Ran, World, is_mounted, run, signal, tool};

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a script of root in a mount namespace of its own, where mount(8) finds our helper.
fn with_helper(world: &World, script: &str) -> crate::world::Ran {
    let helpers = world.path("sbin");
    fs::create_dir_all(&helpers).unwrap();
    fs::copy(source("contrib/mount.fuse.inxtfs"), helpers.join("mount.fuse.inxtfs")).unwrap();
    let all = format!(
        "set -eu; mount -t overlay none -o lowerdir={}:$(readlink -f /sbin) $(readlink -f /sbin)\n{script}",
        helpers.display()
    );
    let mut command = world.command_of("unshare");
    command.args(["--mount", "bash", "-c", &all]).env("DRIVE", world.drive());
    // mount(8) takes the home away from its helpers.
    command.env("XDG_STATE_HOME", world.path(".local/state"));
    command.env("MINE", format!("config_dir={0}/.config/inxtfs,cache_dir={0}/cache", world.home().display()));
    command
        .env("INXTFS", std::env::var("INXTFS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_inxtfs").to_owned()));
    run(&mut command, "")
}

#[test]
fn mount_and_fstab_mount_a_drive_by_the_helper() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::logged_in();
    let ran = with_helper(
        &world,
        r#"
        mount -t fuse.inxtfs mine "$DRIVE" -o "rw,noatime,program=$INXTFS,$MINE,writeback_delay=300ms,umask=027"
        echo text >"$DRIVE/file.txt"
        stat -c %a "$DRIVE/file.txt"
        findmnt -n -o FSTYPE "$DRIVE"
        "$INXTFS" umount "$DRIVE"
        echo "mine $DRIVE fuse.inxtfs ro,nofail,x-systemd.automount,program=$INXTFS,$MINE 0 0" >"$HOME/fstab"
        mount -T "$HOME/fstab" "$DRIVE"
        cat "$DRIVE/file.txt"
        ! touch "$DRIVE/other" 2>/dev/null
        umount "$DRIVE"
        # The process closes its state behind an unmount by hand.
        while "$INXTFS" status "$DRIVE" >/dev/null 2>&1; do sleep 0.1; done
        "#,
    )
    .expect(0);
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), ["640", "fuse.inxtfs", "text"], "{}", ran.err);
    let wrong = with_helper(&world, r#"mount -t fuse.inxtfs mine "$DRIVE" -o "program=$INXTFS,colour=red""#);
    assert!(wrong.code != 0 && wrong.err.contains("unknown option colour=red"), "{}", wrong.err);
    let nobody = with_helper(
        &world,
        r#"mount -t fuse.inxtfs mine "$DRIVE" -o "program=$INXTFS,config_dir=$HOME/none,account=work""#,
    );
    assert!(nobody.code != 0 && nobody.err.contains("inxtfs login --account work"), "{}", nobody.err);
}

#[test]
fn a_service_manager_is_told_of_readiness_of_what_happens_and_that_it_lives() {
    let world = World::logged_in();
    let path = world.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = world.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    let mut child =
        command.arg("mount").arg(world.drive()).args(["--writeback-delay", "1h"]).spawn().unwrap();
    let hear = |what: &str| {
        let mut bytes = [0; 1000];
        loop {
            let len = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("never heard of {what}: {e}"));
            let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if text.contains(what) {
                return text;
            }
        }
    };
    hear("READY=1");
    assert!(is_mounted(&world.drive()), "ready means that it answers");
    hear("STATUS=Online, everything is on the server");
    hear("WATCHDOG=1");
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    hear("STATUS=Online, 1 change to send (1 B)");
    hear("WATCHDOG=1");
    signal(i32::try_from(child.id()).unwrap(), Signal::TERM);
    hear("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_units_and_desktop_files_are_sound() {
    let tmp = tempfile::tempdir().unwrap();
    for (scope, instance) in [("user", "inxtfs@home-ann-Drive.service"), ("system", "inxtfs@root.service")] {
        let text = fs::read_to_string(source(&format!("contrib/systemd/{scope}/inxtfs@.service"))).unwrap();
        // Without the program and its manual installed, only those would be missed.
        let text = text.replace("ExecStart=inxtfs", &format!("ExecStart={}", env!("CARGO_BIN_EXE_inxtfs")));
        let unit = tmp.path().join(instance);
        fs::write(&unit, text.replace("Documentation=man:inxtfs(1)", "#")).unwrap();
        if Command::new("systemd-analyze").arg("--version").output().is_ok() {
            let output =
                Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let ours: Vec<_> = said.lines().filter(|l| l.contains("inxtfs@")).collect();
            assert!(ours.is_empty(), "{said}");
        }
    }
    for name in ["inxtfs.desktop", "inxtfs-autostart.desktop"] {
        let text = fs::read_to_string(source(&format!("contrib/desktop/{name}"))).unwrap();
        let exec = text.lines().find_map(|l| l.strip_prefix("Exec=inxtfs ")).unwrap();
        let mut help = Command::new(env!("CARGO_BIN_EXE_inxtfs"));
        assert!(help.args(exec.split(' ')).arg("--help").output().unwrap().status.success(), "{exec}");
        // The standard's own tool, where it is.
        if let Ok(output) =
            Command::new("desktop-file-validate").arg(source(&format!("contrib/desktop/{name}"))).output()
        {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn the_rpm_installs_what_works_and_leaves_nothing_of_it() {
    if !rustix::process::geteuid().is_root() || Command::new("rpmbuild").arg("--version").output().is_err() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let (out, root) = (tmp.path().join("out"), tmp.path().join("root"));
    fs::create_dir(&root).unwrap();
    let program = std::env::var("INXTFS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_inxtfs").to_owned());
    let mut package = Command::new(source("scripts/package"));
    package.args(["rpm", "--program", &program, "--out"]).arg(&out).env("HOME", tmp.path());
    let made = package.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let package = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let rpm = |args: &[&str]| {
        // Its own list of what is installed is made and kept below the root, too.
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(&root).args(["--dbpath", "/db"]).args(args);
        let output = rpm.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    rpm(&["--nodeps", "-i", package.to_str().unwrap()]);
    let installed = root.join("usr/bin/inxtfs");
    let version = Command::new(&installed).arg("--version").output().unwrap();
    assert_eq!(version.stdout, format!("inxtfs {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    for file in ["man/man1/inxtfs-mount.1.gz", "zsh/site-functions/_inxtfs", "applications/inxtfs.desktop"] {
        assert!(root.join("usr/share").join(file).is_file(), "{file}");
    }
    rpm(&["-e", "inxtfs"]);
    let left = tool("find", &[root.join("usr").as_os_str(), "!".as_ref(), "-type".as_ref(), "d".as_ref()]);
    assert_eq!(left, "");
    assert!(!root.join("usr/share/doc/inxtfs").exists());
}

/// Runs an acceptance script on the program. It says what it saw, and removes all it made.
fn acceptance(script: &str) -> Ran {
    let scratch = tempfile::tempdir().unwrap();
    let program = std::env::var("INXTFS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_inxtfs").to_owned());
    let mut command = Command::new("timeout");
    command.args(["-k", "10", "200"]).arg(source(script)).arg(program);
    command.env("TMPDIR", scratch.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = run(&mut command, "");
    let left = fs::read_dir(scratch.path()).unwrap().count();
    assert_eq!(left, 0, "it leaves something behind: {}{}", ran.out, ran.err);
    ran
}

/// The script ends with 77 where no manager can run, which the machines that decide can.
#[test]
fn a_real_systemd_starts_restarts_watches_and_stops_the_unit() {
    if !rustix::process::geteuid().is_root() || !std::path::Path::new("/lib/systemd/systemd").exists() {
        return;
    }
    let ran = acceptance("tests/systemd");
    let done = ran.code == 0 && ran.err.contains("== done");
    assert!(done || ran.code == 77, "{}: {}{}", ran.code, ran.out, ran.err);
}

#[test]
fn a_newcomer_installs_saves_survives_deletes_logs_out_and_removes_it_without_a_trace() {
    if !rustix::process::geteuid().is_root() || Command::new("dpkg-deb").arg("--version").output().is_err() {
        return;
    }
    let ran = acceptance("tests/newcomer");
    assert!(ran.code == 0 && ran.err.contains("== done"), "{}: {}{}", ran.code, ran.out, ran.err);
}
