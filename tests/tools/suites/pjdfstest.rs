//! pjdfstest: what POSIX says about each call, case by case. `scripts/pjdfstest.skip` lists what a drive does otherwise, with
//! the reason; a case in there that passes after all is a failure too.

use std::fs;
use std::process::Command;

use super::super::world::World;
use super::{installed, project};

/// The cases that fail, of the lines `CASE  # REASON`.
fn expected() -> Vec<String> {
    let list = fs::read_to_string(project("scripts/pjdfstest.skip")).unwrap();
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let case = |line: &str| {
        let (case, reason) = line.split_once('#').unwrap_or_else(|| panic!("no reason: {line}"));
        assert!(!reason.trim().is_empty(), "no reason: {line}");
        case.trim().to_owned()
    };
    lines.map(case).collect()
}

#[test]
fn what_posix_says_about_calls_holds_but_for_what_a_drive_has_no_place_for() {
    let mut world = World::new();
    // Half of the cases are about other users.
    world.options.allow_other = rustix::process::geteuid().is_root();
    world.remount();
    let scratch = tempfile::tempdir().unwrap();
    let settings = scratch.path().join("settings.toml");
    let text = format!(
        "[features]\nposix_fallocate = {{}}\nutime_now = {{}}\nutimensat = {{}}\n\
         [settings]\nnaptime = 0.01\nallow_remount = false\nexpected_failures = {:?}\n\
         [dummy_auth]\nentries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]\n",
        expected()
    );
    fs::write(&settings, text).unwrap();
    let output = Command::new(installed("pjdfstest"))
        .arg("-c")
        .arg(settings)
        .arg("-p")
        .arg(world.root())
        .env("NO_COLOR", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let dull = ["ok", "skipped", "failed as expected"];
    let told: Vec<&str> = text.lines().filter(|line| !dull.iter().any(|end| line.ends_with(end))).collect();
    let told = told.join("\n");
    println!("{told}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    assert!(text.contains(" passed, "), "{text}{errors}");
    world.drain();
}
