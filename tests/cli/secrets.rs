//! What must never be seen, is looked for everywhere.

use std::fs;
use std::path::Path;

use crate::world::{EMAIL, World, noise};

/// Every file below a directory.
fn files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            t if t.is_dir() => files(&entry.path(), out),
            t if t.is_file() => out.push(entry.path()),
            _ => {}
        }
    }
}

#[test]
fn a_logout_with_purge_leaves_nothing_and_takes_nothing_unsent_along() {
    let world = World::logged_in();
    let drive = world.drive();
    world.mount_with(&["--writeback-delay", "1h"]);
    fs::write(drive.join("Secret Plans.txt"), "what the user wrote").unwrap();
    let running = world.run(["logout", "--purge"]).expect(9);
    assert!(running.err.contains("inxtfs umount"), "{}", running.err);
    world.on_drive("umount", &["--detach"]).expect(0);
    let unsent = world.run(["logout", "--purge"]).expect(10);
    assert!(unsent.err.contains("1 change") && unsent.err.contains("--discard-unsent"), "{}", unsent.err);
    world.run(["whoami"]).expect(0);

    world.mount();
    world.on_drive("umount", &[]).expect(0);
    world.run(["logout", "--purge"]).expect(0);
    let mut paths = Vec::new();
    for dir in [".config", ".cache", ".local", "run"] {
        if world.path(dir).exists() {
            files(&world.path(dir), &mut paths);
        }
    }
    assert!(paths.is_empty(), "{paths:?}");
    world.run(["whoami"]).expect(3);
    world.login(EMAIL, "demo").expect(0);
    world.mount();
    assert_eq!(fs::read_to_string(drive.join("Secret Plans.txt")).unwrap(), "what the user wrote");
    world.on_drive("umount", &["--detach"]).expect(0);
    world.mount_with(&["--writeback-delay", "1h"]);
    fs::write(drive.join("given up.txt"), "x").unwrap();
    world.on_drive("umount", &["--detach"]).expect(0);
    world.run(["logout", "--purge", "--discard-unsent"]).expect(0);
    assert!(!world.path(".cache/inxtfs").join(world.account(EMAIL).uuid).exists());
}

#[test]
fn no_secret_is_in_logs_arguments_environment_status_or_files() {
    const PASSWORD: &str = "an-unlikely-passphrase";
    let world = World::new();
    world.shared().world.change_password(EMAIL, PASSWORD);
    let account = world.account(EMAIL);
    let net = world.shared().world.account_by_bridge_user(EMAIL).unwrap();
    let words: Vec<&str> = account.mnemonic.split(' ').collect();
    let needles = [
        ("password", PASSWORD.to_owned()),
        ("mnemonic", words[..3].join(" ")),
        ("token", "eyJ".to_owned()),
        ("network user", net.user_id.clone()),
        ("signature", "X-Amz-Signature".to_owned()),
        ("content", "what the user wrote".to_owned()),
        ("name", "Secret Plans".to_owned()),
    ];
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();

    let ran = world.login(EMAIL, PASSWORD).expect(0);
    seen.push(("login".to_owned(), [ran.out, ran.err].concat().into_bytes()));
    let drive = world.drive();
    let mut command = world.command();
    command.env("INXTFS_LOG", "trace").args(["-vv", "mount", "--daemon", "--writeback-delay", "300ms"]);
    let ran = crate::world::run(command.arg(&drive), "").expect(0);
    seen.push(("mount".to_owned(), [ran.out, ran.err].concat().into_bytes()));
    fs::write(drive.join("Secret Plans.txt"), "what the user wrote").unwrap();
    fs::write(drive.join("large.bin"), noise(6 << 20)).unwrap();
    world.on_drive("flush", &[]).expect(0);
    let pid = world.mount_pid();
    for file in ["cmdline", "environ"] {
        seen.push((file.to_owned(), fs::read(format!("/proc/{pid}/{file}")).unwrap()));
    }
    for args in [&["status", "--json"][..], &["status"], &["whoami", "--json"], &["whoami"]] {
        let ran = world.run(args).expect(0);
        seen.push((args.join(" "), [ran.out, ran.err].concat().into_bytes()));
    }
    world.on_drive("umount", &[]).expect(0);
    world.mount();
    assert_eq!(fs::read(drive.join("large.bin")).unwrap().len(), 6 << 20);
    world.on_drive("umount", &[]).expect(0);
    let log = world.mount_log();
    assert!(log.contains(" INFO "), "the log tells more than warnings: {log}");

    let mut paths = Vec::new();
    for dir in [".config", ".cache", ".local", "run"] {
        files(&world.path(dir), &mut paths);
    }
    assert!(paths.len() > 3, "{paths:?}");
    seen.extend(paths.into_iter().map(|p| {
        // An unmount is over when nothing changes any more.
        let bytes = fs::read(&p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
        (p.display().to_string(), bytes)
    }));
    for (place, bytes) in &seen {
        for (what, needle) in &needles {
            // Random bytes may spell three letters.
            let sealed = what == &"token" && place.contains("/.cache/");
            let found = bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
            assert!(sealed || !found, "{what} in {place}");
        }
    }
}
