//! What `inxtfs doctor` finds, and what it tells others.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::world::{EMAIL, Ran, World, eventually, is_running, signal};

/// A mount of a test beside this one may be dead for a moment: that is found, too.
fn doctor(world: &World, flags: &[&str], code: i32) -> Ran {
    let mut last = None;
    eventually("the doctor ends so", || {
        let ran = world.run(["doctor"].iter().chain(flags));
        let done = ran.code == code || !ran.out.contains("the process of the mount at");
        last = Some(ran);
        done
    });
    last.unwrap().expect(code)
}

fn findings(world: &World, code: i32) -> Vec<serde_json::Value> {
    let ran = doctor(world, &["--json", "--gateway", &world.gateway()], code);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(answer["well"], code == 0, "{answer}");
    let all = answer["findings"].as_array().unwrap().clone();
    for finding in &all {
        let well = finding["level"] == "ok";
        assert_eq!(
            finding["remedy"].is_null(),
            well,
            "each has its remedy, and only those that need one: {finding}"
        );
    }
    all
}

fn level(findings: &[serde_json::Value], check: &str) -> String {
    let found = findings.iter().find(|f| f["check"] == check);
    found.map_or("absent", |f| f["level"].as_str().unwrap()).to_owned()
}

#[test]
fn the_doctor_finds_login_clock_network_and_dead_mounts_each_with_its_remedy() {
    let mut world = World::new();
    let nobody = findings(&world, 15);
    assert_eq!((level(&nobody, "login"), level(&nobody, "network")), ("fail".into(), "ok".into()));
    assert!(!world.path(".config").exists(), "a look makes nothing");

    world.login(EMAIL, "demo").expect(0);
    let well = findings(&world, 0);
    for check in ["fuse", "fusermount3", "login", "network", "clock", "session", "plan", "quota"] {
        assert_eq!(level(&well, check), "ok", "{check}: {well:?}");
    }
    let told = doctor(&world, &[], 0).out;
    assert!(told.contains("ok    login") && told.contains(EMAIL), "{told}");

    world.shared().world.advance(Duration::from_secs(600));
    assert_eq!(level(&findings(&world, 0), "clock"), "warn");

    world.mount();
    let mounted = findings(&world, 0);
    assert!(
        mounted.iter().any(|f| f["check"] == "mounts" && f["says"].as_str().unwrap().contains("0 changes"))
    );
    let pid = world.mount_pid();
    signal(pid, Signal::KILL);
    eventually("it is dead", || !is_running(pid));
    let dead = findings(&world, 15);
    // Others may have mounts here, too.
    let drive = world.drive();
    let here = |f: &&serde_json::Value| f["says"].as_str().unwrap().contains(drive.to_str().unwrap());
    let mount = dead.iter().filter(|f| f["check"] == "mounts").find(here).unwrap();
    assert!(mount["remedy"].as_str().unwrap().contains("umount --force"), "{mount}");
    world.on_drive("umount", &["--force"]).expect(0);

    world.cut_network();
    let cut = world.run(["doctor"]).expect(15).out;
    assert!(cut.contains("FAIL  network") && cut.contains("-> check the network"), "{cut}");
}

#[test]
fn a_session_that_has_ended_is_found() {
    let world = World::logged_in();
    world.shared().world.advance(Duration::from_secs(2));
    world.shared().world.change_password(EMAIL, "new password");
    let ended = findings(&world, 15);
    let session = ended.iter().find(|f| f["check"] == "session").unwrap();
    assert!(
        session["level"] == "fail" && session["remedy"].as_str().unwrap().contains("inxtfs login"),
        "{session}"
    );
}

#[test]
fn a_report_tells_figures_and_neither_who_nor_where_nor_names() {
    let world = World::logged_in();
    world.mount_with(&["--writeback-delay", "1h"]);
    std::fs::write(world.drive().join("Secret Plans.txt"), "what the user wrote").unwrap();
    let report = world.path("report.json");
    let report = report.to_str().unwrap();
    world.run(["doctor", "--bundle", report]).expect(0);
    assert_eq!(std::fs::metadata(report).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(report).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["mounts"][0]["totals"]["items"], 1, "{text}");
    let home = world.home().to_str().unwrap().to_owned();
    for secret in [EMAIL, "Secret", &home, &world.account(EMAIL).uuid, "eyJ"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let again = world.run(["doctor", "--bundle", report]).expect(2);
    assert!(again.err.contains("exists"), "{}", again.err);
    world.on_drive("umount", &["--detach"]).expect(0);
}
