//! Several logins on one machine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::world::{EMAIL, Ran, World, is_mounted, run};

const OTHER: &str = "small@inxtfs.local";

/// A second mount, gone with the test.
struct Second(PathBuf);

impl Drop for Second {
    fn drop(&mut self) {
        if is_mounted(&self.0) {
            let _ = Command::new("fusermount3").arg("-uzq").arg(&self.0).status();
        }
    }
}

fn login(world: &World, account: &str) -> Ran {
    let mut command = world.command();
    command.args(["--gateway", &world.gateway(), "login", "--account", account]);
    run(command.args(["--email", OTHER, "--password-stdin"]), "demo\n")
}

#[test]
fn two_accounts_of_one_machine_keep_apart_and_each_mount_says_whose_it_is() {
    let world = World::logged_in();
    login(&world, "work").expect(0);
    assert!(world.run(["whoami"]).expect(0).out.contains(EMAIL));
    assert!(world.run(["whoami", "--account", "work"]).expect(0).out.contains(OTHER));
    let listed = world.run(["account", "list", "--json"]).expect(0).out;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let of = |n: usize| (&listed["accounts"][n]["name"], &listed["accounts"][n]["email"]);
    assert_eq!(of(0), (&serde_json::Value::Null, &EMAIL.into()));
    assert_eq!(of(1), (&"work".into(), &OTHER.into()));
    let shown = world.run(["account", "list"]).expect(0).out;
    assert!(shown.contains("work") && shown.contains("key: a file beside it"), "{shown}");

    let second = Second(world.path("work"));
    fs::create_dir(&second.0).unwrap();
    let at = second.0.to_str().unwrap();
    world.mount();
    let mut command = world.command();
    command.env("INXTFS_ACCOUNT", "work").args(["mount", "--daemon", "--writeback-delay", "300ms", at]);
    run(&mut command, "").expect(0);
    fs::write(world.drive().join("mine.txt"), "mine").unwrap();
    fs::write(second.0.join("theirs.txt"), "theirs").unwrap();
    let told = world.run(["status"]).expect(0).out;
    assert!(told.contains(&format!("({OTHER}, account work, ")), "{told}");
    assert!(told.contains(&format!("({EMAIL}, process ")), "{told}");
    let told = world.run(["status", "--account", "work"]).expect(0).out;
    assert!(told.contains(OTHER) && !told.contains(EMAIL), "{told}");
    world.run(["pause", "--account", "work"]).expect(0);
    let paused = |at: &str| world.run(["status", at]).expect(0).out.contains("paused");
    assert!(paused(at) && !paused(world.drive().to_str().unwrap()));
    world.run(["resume", "--account", "work"]).expect(0);
    let ran = world.run(["flush", "--account", "wrok"]).expect(12);
    assert!(ran.err.contains("no mount of account wrok is running"), "{}", ran.err);
    world.run(["flush"]).expect(0);
    assert!(world.run(["ls", "/"]).expect(0).out.contains("mine.txt"));
    let ls = world.run(["ls", "/", "--account", "work"]).expect(0).out;
    assert!(ls.contains("theirs.txt") && !ls.contains("mine.txt"), "{ls}");

    // What leaves nothing of one leaves all of the other, the log of its mount, too.
    world.run(["umount", at]).expect(0);
    world.run(["logout", "--purge", "--account", "work"]).expect(0);
    assert!(!world.path(".config/inxtfs/accounts").exists());
    assert!(!world.path(".cache/inxtfs").join(world.account(OTHER).uuid).exists());
    world.on_drive("log", &[]).expect(0);
    world.run(["whoami", "--account", "work"]).expect(3);
    assert_eq!(fs::read_to_string(world.drive().join("mine.txt")).unwrap(), "mine");
    world.on_drive("umount", &[]).expect(0);
    world.run(["whoami"]).expect(0);
}

#[test]
fn an_account_that_nobody_has_is_told_and_leaves_no_folder() {
    let world = World::logged_in();
    let ran = world.run(["whoami", "--account", "wrok"]).expect(3);
    assert!(ran.err.contains("`inxtfs login --account wrok`"), "{}", ran.err);
    assert!(!ran.err.contains("Run `inxtfs login`."), "not the usual one: {}", ran.err);
    assert!(!world.path(".config/inxtfs/accounts").exists());
    assert!(world.run(["whoami", "--account", "../x"]).expect(2).err.contains("a name is"));
}
