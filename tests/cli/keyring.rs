//! Where what opens the login is kept: the desktop's keyring, systemd, a file.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant};

use inxtfs::emulator::{Action, Fault};
use rustix::process::Signal;

use crate::bus::Bus;
use crate::world::{EMAIL, Ran, World, is_mounted, run, signal};

fn login(world: &World, flags: &[&str]) -> Ran {
    let mut command = world.command();
    command.args(["--gateway", &world.gateway(), "login", "--email", EMAIL, "--password-stdin"]).args(flags);
    run(&mut command, "demo\n")
}

fn key_file(world: &World) -> std::path::PathBuf {
    world.path(".config/inxtfs/credentials.key")
}

/// A desktop with an open keyring.
fn desktop() -> (World, Bus) {
    let mut world = World::new();
    let mut bus = Bus::start(&world);
    bus.open_keyring(&world);
    world.set("DBUS_SESSION_BUS_ADDRESS", bus.address());
    (world, bus)
}

#[test]
fn an_open_keyring_keeps_what_opens_the_login_until_the_logout() {
    let (world, bus) = desktop();
    let ran = login(&world, &[]).expect(0);
    assert!(ran.err.contains("kept in the desktop's keyring"), "{}", ran.err);
    assert!(!key_file(&world).exists() && bus.kept(&world) == 1);
    world.run(["whoami"]).expect(0);
    let told = world.run(["doctor"]).expect(0).out;
    assert!(told.contains("its key in the desktop's keyring"), "{told}");

    // Once more is the same item; elsewhere leaves none.
    login(&world, &[]).expect(0);
    assert_eq!(bus.kept(&world), 1);
    login(&world, &["--keep-key", "file"]).expect(0);
    assert!(key_file(&world).exists() && bus.kept(&world) == 0);
    world.run(["whoami"]).expect(0);
    login(&world, &["--keep-key", "keyring"]).expect(0);
    assert!(!key_file(&world).exists() && bus.kept(&world) == 1);
    world.run(["logout"]).expect(0);
    assert_eq!(bus.kept(&world), 0);
    world.run(["whoami"]).expect(3);
}

#[test]
fn a_login_whose_key_lies_in_a_file_goes_on_where_there_is_a_keyring() {
    let (world, bus) = desktop();
    login(&world, &["--keep-key", "file"]).expect(0);
    world.mount();
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    world.on_drive("umount", &[]).expect(0);
    assert!(key_file(&world).exists() && bus.kept(&world) == 0);
}

#[test]
fn a_locked_keyring_is_told_with_its_remedy_and_stops_no_mount_that_runs() {
    let (world, mut bus) = desktop();
    login(&world, &[]).expect(0);
    world.mount();
    bus.locked_keyring(&world);
    let locked = world.run(["whoami"]).expect(17);
    assert!(locked.err.contains("it is locked") && locked.err.contains("--keep-key file"), "{}", locked.err);
    let doctor: serde_json::Value =
        serde_json::from_str(&world.run(["doctor", "--json", "--gateway", &world.gateway()]).expect(0).out)
            .unwrap();
    let login_found = doctor["findings"].as_array().unwrap().iter().find(|f| f["check"] == "login").unwrap();
    assert!(
        login_found["level"] == "warn" && login_found["remedy"].as_str().unwrap().contains("unlock it"),
        "{login_found}"
    );

    // It renews its session, and keeps that, without the keyring.
    let mark = world.log().mark();
    let body = serde_json::json!({"message": "Unauthorized", "statusCode": 401}).to_string();
    let refused = Action::Status { code: 401, body: Some(body), retry_after: None };
    world.shared().knobs.add_fault(Fault::on("POST", "/drive/files", refused).times(1));
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    world.on_drive("flush", &[]).expect(0);
    assert_eq!(world.log().count_since(mark, "GET", "/drive/users/cli/refresh"), 1);
    assert_eq!(world.status()["status"]["session"]["state"], "online");
    world.on_drive("umount", &[]).expect(0);
    let drive = world.drive();
    let refused = world.run(["mount", "--daemon", drive.to_str().unwrap()]).expect(17);
    assert!(refused.err.contains("it is locked"), "{}", refused.err);

    bus.open_keyring(&world);
    world.mount();
    assert_eq!(fs::read_to_string(drive.join("a.txt")).unwrap(), "a");
    world.on_drive("umount", &[]).expect(0);
    // One that is gone, with its desktop.
    bus.stop_keyring();
    let gone = world.run(["whoami"]).expect(17);
    assert!(gone.err.contains("nobody on the bus"), "{}", gone.err);
    let ran = login(&world, &[]).expect(0);
    assert!(ran.err.contains("kept in a file beside it"), "{}", ran.err);
    world.run(["whoami"]).expect(0);
}

#[test]
fn a_mount_that_a_service_manager_starts_before_the_keyring_is_open_waits_for_it() {
    let (world, mut bus) = desktop();
    login(&world, &[]).expect(0);
    bus.locked_keyring(&world);
    let path = world.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = world.command();
    let mut child = command.env("NOTIFY_SOCKET", &path).arg("mount").arg(world.drive()).spawn().unwrap();
    let hear = |what: &str| {
        let mut bytes = [0; 1000];
        loop {
            let len = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("never heard of {what}: {e}"));
            if String::from_utf8_lossy(&bytes[..len]).contains(what) {
                return;
            }
        }
    };
    hear("Waiting for the desktop's keyring: it is locked");
    assert!(!is_mounted(&world.drive()));
    bus.open_keyring(&world);
    hear("READY=1");
    assert!(is_mounted(&world.drive()));
    signal(i32::try_from(child.id()).unwrap(), Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_bus_that_does_not_answer_keeps_nobody_waiting() {
    let mut world = World::new();
    let path = world.path("silent");
    // It takes connections, and says nothing.
    let _silent = UnixListener::bind(&path).unwrap();
    world.set("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", path.display()));
    let start = Instant::now();
    let ran = login(&world, &[]).expect(0);
    assert!(ran.err.contains("kept in a file beside it"), "{}", ran.err);
    let mark = world.log().mark();
    let insisted = login(&world, &["--keep-key", "keyring"]).expect(17);
    assert!(insisted.err.contains("does not answer"), "{}", insisted.err);
    assert_eq!(world.log().count_since(mark, "POST", "/drive/auth/cli/login/access"), 0, "before an attempt");
    world.run(["whoami"]).expect(0);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

#[test]
fn without_a_bus_the_key_is_in_a_file_and_one_that_is_insisted_on_is_refused() {
    let world = World::new();
    let insisted = login(&world, &["--keep-key", "keyring"]).expect(17);
    assert!(insisted.err.contains("no bus") && insisted.err.contains("--keep-key file"), "{}", insisted.err);
    login(&world, &[]).expect(0);
    assert!(key_file(&world).exists());
}

#[test]
fn a_unit_opens_the_login_with_the_credential_that_systemd_hands_it() {
    let mut world = World::new();
    let handed = world.path("handed");
    fs::create_dir(&handed).unwrap();
    fs::write(handed.join("inxtfs.key"), "0123456789abcdef".repeat(4)).unwrap();
    login(&world, &["--keep-key", "systemd"]).expect(17);
    world.set("CREDENTIALS_DIRECTORY", &handed);
    login(&world, &[]).expect(0);
    assert!(!key_file(&world).exists());
    world.mount();
    world.on_drive("umount", &[]).expect(0);
    world.unset("CREDENTIALS_DIRECTORY");
    let without = world.run(["whoami"]).expect(17);
    assert!(without.err.contains("LoadCredential"), "{}", without.err);
    world.set("CREDENTIALS_DIRECTORY", &handed);
    let out = world.run(["logout"]).expect(0);
    assert!(out.err.contains("stays where its unit has it from"), "{}", out.err);
    assert!(handed.join("inxtfs.key").exists());
}

#[test]
fn the_key_is_in_no_output_file_log_argument_or_environment() {
    let (world, bus) = desktop();
    let mut seen = Vec::new();
    let mut command = world.command();
    command.env("INXTFS_LOG", "trace");
    command.args(["--gateway", &world.gateway(), "login", "--email", EMAIL, "--password-stdin"]);
    let ran = run(&mut command, "demo\n").expect(0);
    seen.push(("login", [ran.out, ran.err].concat()));
    world.mount_with(&["-vv"]);
    let pid = world.mount_pid();
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        seen.push((file, String::from_utf8_lossy(&bytes).into_owned()));
    }
    world.on_drive("umount", &[]).expect(0);
    seen.push(("log", world.mount_log()));
    let key = bus.secret(&world);
    assert_eq!(key.len(), 64);
    for (place, text) in seen {
        assert!(!text.contains(&key), "the key is in {place}");
    }
    for entry in fs::read_dir(world.path(".config/inxtfs")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(64).any(|w| w == key.as_bytes()));
        assert!(!bytes.windows(32).any(|w| hex_of(w) == key));
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
