//! Backup keys, authenticators, machines that nobody attends, and browsers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use inxtfs::emulator::{Action, Fault};

use crate::world::{EMAIL, Ran, World, eventually, noise, run};

fn login_with(world: &World, email: &str, password: &str, flags: &[&str]) -> Ran {
    let mut command = world.command();
    command.args(["--gateway", &world.gateway(), "login", "--email", email, "--password-stdin"]).args(flags);
    run(&mut command, &format!("{password}\n"))
}

/// A service whose copy of the master key does not open with the password.
fn lose_the_key(world: &World) {
    let account = world.account(EMAIL);
    let net = world.shared().world.account_by_bridge_user(EMAIL).unwrap();
    let token = world.shared().world.issue_token(EMAIL, Duration::from_secs(600)).unwrap();
    let body = serde_json::json!({
        "user": {
            "uuid": account.uuid, "email": EMAIL, "bridgeUser": EMAIL, "userId": net.user_id,
            "bucket": account.bucket, "rootFolderId": account.root, "mnemonic": "00",
        },
        "newToken": token,
    });
    let answer = Action::Status { code: 200, body: Some(body.to_string()), retry_after: None };
    // A logout ends the token for good: each login has one of its own.
    world.shared().knobs.set_faults(vec![Fault::on("POST", "/drive/auth/cli/login/access", answer)]);
}

#[test]
fn a_backup_key_is_exported_with_the_password_checked_and_logged_in_with() {
    let world = World::logged_in();
    let file = world.path("key.txt");
    let path = file.to_str().unwrap();
    let export = |password: &str| {
        let mut command = world.command();
        command.args(["backup-key", "export", path, "--password-stdin"]);
        run(&mut command, &format!("{password}\n"))
    };
    let mark = world.log().mark();
    let wrong = export("not it").expect(4);
    assert!(wrong.err.contains("password") && !file.exists(), "{}", wrong.err);
    let right = export("demo").expect(0);
    assert_eq!(
        world.log().count_since(mark, "POST", "/drive/auth/cli/login/access"),
        0,
        "no attempt is spent on it"
    );
    assert!(right.err.contains("can read everything"), "{}", right.err);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), world.account(EMAIL).mnemonic);
    assert!(export("demo").expect(2).err.contains("exists"));

    let check = |file: &str| world.run(["backup-key", "check", file]);
    assert!(check(path).expect(0).out.contains(EMAIL));
    let json = world.path("key.json");
    fs::write(
        &json,
        serde_json::json!({"mnemonic": world.account(EMAIL).mnemonic, "privateKey": "x"}).to_string(),
    )
    .unwrap();
    assert!(check(json.to_str().unwrap()).expect(0).out.contains("is the backup key of"));
    fs::write(&json, world.account("small@inxtfs.local").mnemonic).unwrap();
    assert!(check(json.to_str().unwrap()).expect(4).err.contains("not that of"));
    fs::write(&json, "shopping list").unwrap();
    assert!(check(json.to_str().unwrap()).expect(4).err.contains("no backup key"));
    world.run(["logout"]).expect(0);
    assert!(check(path).expect(0).out.contains("Nobody is logged in"));
    login_with(&world, EMAIL, "demo", &["--backup-key", path]).expect(0);
}

#[test]
fn a_backup_key_alone_is_proven_by_what_the_account_holds_before_it_is_kept() {
    let world = World::new();
    let mine = world.path("mine.txt");
    fs::write(&mine, world.account(EMAIL).mnemonic).unwrap();
    let foreign = world.path("foreign.txt");
    fs::write(&foreign, world.account("small@inxtfs.local").mnemonic).unwrap();
    let with = |file: &std::path::Path, flags: &[&str]| {
        login_with(&world, EMAIL, "demo", &[&["--backup-key", file.to_str().unwrap()][..], flags].concat())
    };
    lose_the_key(&world);
    assert!(login_with(&world, EMAIL, "demo", &[]).expect(4).err.contains("backup key"));
    let unknown = with(&mine, &[]).expect(4);
    assert!(unknown.err.contains("--trust-backup-key"), "an empty account proves nothing: {}", unknown.err);
    world.run(["whoami"]).expect(3);

    with(&mine, &["--trust-backup-key"]).expect(0);
    world.mount();
    fs::write(world.drive().join("a.bin"), noise(1000)).unwrap();
    world.on_drive("umount", &[]).expect(0);
    world.run(["logout"]).expect(0);
    lose_the_key(&world);
    let refused = with(&foreign, &["--trust-backup-key"]).expect(4);
    assert!(refused.err.contains("another account"), "{}", refused.err);
    world.run(["whoami"]).expect(3);
    with(&mine, &[]).expect(0);
}

#[test]
fn a_machine_that_nobody_attends_logs_in_again_once() {
    let world = World::new();
    let tfa = "tfa@inxtfs.local";
    let secret = world.path("totp.txt");
    fs::write(&secret, world.account(tfa).totp_secret.unwrap()).unwrap();
    let secret = secret.to_str().unwrap();
    fs::write(world.path("odd.txt"), "123456!").unwrap();
    let odd =
        login_with(&world, tfa, "demo", &["--totp-secret-file", world.path("odd.txt").to_str().unwrap()]);
    assert!(odd.expect(2).err.contains("base32"));
    let ran = login_with(&world, tfa, "demo", &["--totp-secret-file", secret, "--unattended"]).expect(0);
    assert!(ran.err.contains("password is kept"), "{}", ran.err);

    world.mount_with(&["--poll-interval", "1s", "--pace", "50ms"]);
    let state = || world.status()["status"]["session"]["state"].as_str().unwrap().to_owned();
    let logins = |mark| world.log().count_since(mark, "POST", "/drive/auth/cli/login/access");
    // The session ends, the password stays.
    let mark = world.log().mark();
    world.shared().world.advance(Duration::from_secs(2));
    world.shared().world.change_password(tfa, "demo");
    eventually("it has logged in again", || logins(mark) == 1 && state() == "online");

    // Again, before a renewal has worked: that would go on for ever.
    let mark = world.log().mark();
    world.shared().world.advance(Duration::from_secs(2));
    world.shared().world.change_password(tfa, "demo");
    eventually("it is told", || state() == "loggedout");
    assert_eq!(logins(mark), 0, "never in a row");
    let shown = world.on_drive("status", &[]).expect(0).out;
    assert!(shown.contains("stored password"), "{shown}");

    // A person logs in; then the password is another one.
    login_with(&world, tfa, "demo", &["--totp-secret-file", secret, "--unattended"]).expect(0);
    eventually("it is online", || state() == "online");
    let mark = world.log().mark();
    world.shared().world.advance(Duration::from_secs(2));
    world.shared().world.change_password(tfa, "another one");
    eventually("the refusal is told", || state() == "loggedout");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(logins(mark), 1, "refused ones add up to a lock");
    world.on_drive("umount", &["--detach"]).expect(0);
}

/// What a browser does: asks, and goes where it is sent.
fn browse(url: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let code = text.split(' ').nth(1).map_or(0, |c| c.parse().unwrap());
    let to = text
        .lines()
        .find_map(|l| l.to_lowercase().starts_with("location: ").then(|| l[10..].trim().to_owned()));
    (code, to.unwrap_or(text))
}

#[test]
fn a_browser_logs_in_once_by_a_way_nobody_can_guess() {
    let world = World::new();
    let mut command = world.command();
    command
        .args(["--gateway", &world.gateway(), "login", "--browser", "--no-open", "--yes"])
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let page = lines.find(|line| line.starts_with("http")).unwrap();

    let (code, choice) = browse(&page);
    assert!(code == 200 && choice.contains(EMAIL), "{choice}");
    let (code, back) = browse(&format!("{page}&account={EMAIL}"));
    assert_eq!(code, 302);
    let (place, _) = back.split_once('?').unwrap();
    let (host, path) = place.strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert!(host.starts_with("127.0.0.1:") && path.len() == 32, "{place}");
    // One that only connects keeps nobody waiting; one that guesses gets nothing.
    let _idle = TcpStream::connect(host).unwrap();
    assert_eq!(browse(&format!("http://{host}/{}?newToken=eA&mnemonic=eA", "0".repeat(32))).0, 404);
    assert_eq!(browse(place).0, 404);

    let (code, end) = browse(&back);
    assert!(code == 302 && end.ends_with("/auth-link-ok"), "{code} {end}");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains(EMAIL), "it tells who came back");
    assert!(TcpStream::connect(host).is_err(), "one use");
    assert_eq!(world.run(["whoami"]).expect(0).code, 0);
    // The browser's own session may end: ours is another one.
    world.mount();
    fs::write(world.drive().join("a.txt"), "a").unwrap();
    world.on_drive("umount", &[]).expect(0);
}

#[test]
fn a_browser_that_brings_nothing_usable_leaves_no_login() {
    let world = World::new();
    let mut command = world.command();
    command.args(["--gateway", &world.gateway(), "login", "--browser", "--no-open", "--yes"]);
    let mut child = command.spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut page = String::new();
    while !page.starts_with("http") {
        page.clear();
        assert!(err.read_line(&mut page).unwrap() > 0);
    }
    let (_, back) = browse(&format!("{}&account={EMAIL}", page.trim()));
    let (place, _) = back.split_once('?').unwrap();
    let (_, end) = browse(&format!("{place}?newToken=AAAA&mnemonic=AAAA"));
    assert!(end.ends_with("/auth-link-error"), "{end}");
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("without a usable"), "{rest}");
    world.run(["whoami"]).expect(3);
}
