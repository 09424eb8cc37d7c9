//! Logins that cannot be: each says why, what to do, and ends with its number.

use std::fs;
use std::time::Duration;

use inxtfs::emulator::{Action, Config, Emulator, Fault, TlsConfig};

use crate::world::{EMAIL, Ran, World, run};

const ACCESS: &str = "/drive/auth/cli/login/access";
const DETAILS: &str = "/drive/auth/login";

fn login_with(world: &World, email: &str, password: &str, flags: &[&str]) -> Ran {
    let mut command = world.command();
    command.args(["--gateway", &world.gateway(), "login", "--email", email, "--password-stdin"]).args(flags);
    run(&mut command, &format!("{password}\n"))
}

#[test]
fn a_wrong_code_is_tried_once_and_told() {
    let world = World::new();
    let mark = world.log().mark();
    let ran = login_with(&world, "tfa@inxtfs.local", "demo", &["--totp", "000000"]).expect(4);
    assert!(ran.err.contains("one-time code is wrong"), "{}", ran.err);
    assert_eq!(world.log().count_since(mark, "POST", ACCESS), 1);
}

#[test]
fn a_missing_code_is_asked_for_before_the_password_is_sent() {
    let world = World::new();
    let mark = world.log().mark();
    let ran = world.login("tfa@inxtfs.local", "demo").expect(4);
    assert!(ran.err.contains("--totp"), "{}", ran.err);
    assert_eq!(world.log().count_since(mark, "POST", ACCESS), 0);
}

#[test]
fn a_locked_account_and_a_plan_without_access_are_told_apart() {
    let world = World::new();
    let ran = world.login("blocked@inxtfs.local", "demo").expect(4);
    assert!(ran.err.contains("locked") && ran.err.contains("drive.internxt.com"), "{}", ran.err);
    let ran = world.login("free@inxtfs.local", "demo").expect(5);
    assert!(ran.err.contains("password is right") && ran.err.contains("plan"), "{}", ran.err);
    world.run(["whoami"]).expect(3);
}

#[test]
fn a_backup_key_says_which_word_is_wrong_and_never_the_word() {
    let world = World::new();
    let mark = world.log().mark();
    let key = world.path("key.txt");
    let words = world.account(EMAIL).mnemonic;
    let with_key = |text: &str| {
        fs::write(&key, text).unwrap();
        login_with(&world, EMAIL, "demo", &["--backup-key", key.to_str().unwrap()])
    };
    let mut list: Vec<&str> = words.split(' ').collect();
    list[6] = "abandonn";
    let ran = with_key(&list.join(" ")).expect(4);
    assert!(ran.err.contains("word 7"), "{}", ran.err);
    assert!(!ran.err.contains("abandonn") && !ran.err.contains(list[0]), "{}", ran.err);
    list[6] = "zoo";
    let ran = with_key(&list.join(" ")).expect(4);
    assert!(ran.err.contains("checksum"), "{}", ran.err);
    let ran = with_key(&list[..23].join(" ")).expect(4);
    assert!(ran.err.contains("24 words, this has 23"), "{}", ran.err);
    let ran = with_key("{\"not\": \"it\"}").expect(4);
    assert!(ran.err.contains("INTERNXT-BACKUP-KEY.txt"), "{}", ran.err);
    assert!(world.log().since(mark).is_empty(), "what is wrong here is not asked of the service");
    with_key(&words).expect(0);
}

#[test]
fn a_backup_key_that_cannot_be_read_is_named() {
    let world = World::new();
    let missing = world.path("missing.txt");
    for file in [missing.as_path(), world.drive().as_path()] {
        let file = file.to_str().unwrap();
        let ran = login_with(&world, EMAIL, "demo", &["--backup-key", file]).expect(2);
        assert!(ran.err.contains(file), "{}", ran.err);
    }
}

#[test]
fn a_backup_key_of_another_account_is_refused_and_nothing_is_kept() {
    let world = World::new();
    let key = world.path("key.txt");
    fs::write(&key, world.account("small@inxtfs.local").mnemonic).unwrap();
    let mark = world.log().mark();
    let ran = login_with(&world, EMAIL, "demo", &["--backup-key", key.to_str().unwrap()]).expect(4);
    assert!(ran.err.contains("another account"), "{}", ran.err);
    world.run(["whoami"]).expect(3);
    let sent = world.log().since(mark);
    assert!(sent.iter().all(|e| e.path.starts_with("/drive/auth/")), "{sent:?}");
}

#[test]
fn answers_that_make_no_sense_end_the_login_and_are_not_repeated() {
    let world = World::new();
    let faults = |path: &str, action| {
        world.shared().knobs.set_faults(vec![Fault::on("POST", path, action)]);
    };
    let garbage = |body: String| Action::Status { code: 200, body: Some(body), retry_after: None };
    for body in ["{\"half\": ".to_owned(), "[]".to_owned(), format!("\"{}\"", "x".repeat(20 << 20))] {
        faults(ACCESS, garbage(body));
        let mark = world.log().mark();
        let ran = world.login(EMAIL, "demo");
        assert!([1, 6].contains(&ran.code), "{} {}", ran.code, ran.err);
        assert!(ran.err.len() < 1000 && ran.err.contains("makes no sense"), "{}", ran.err);
        assert_eq!(world.log().count_since(mark, "POST", ACCESS), 1);
    }
    for path in [DETAILS, ACCESS] {
        faults(path, Action::Html);
        let ran = world.login(EMAIL, "demo").expect(6);
        assert!(ran.err.contains("login page of this network"), "{}", ran.err);
    }
    world.shared().knobs.set_faults(Vec::new());
    world.login(EMAIL, "demo").expect(0);
}

#[test]
fn a_service_that_is_away_or_not_to_be_trusted_is_told_before_the_password_goes() {
    let mut world = World::new();
    let gateway = world.gateway();
    let at = |gateway: &str| {
        let mut command = world.command();
        command.args(["--gateway", gateway, "login", "--email", EMAIL, "--password-stdin"]);
        run(&mut command, "demo\n")
    };
    let ran = at("http://gateway.example.com").expect(2);
    assert!(ran.err.contains("https"), "{}", ran.err);
    at("nonsense").expect(2);

    let data = tempfile::tempdir().unwrap();
    let tls = world.within(|| {
        let tls = Some(TlsConfig { names: Vec::new() });
        Emulator::start(Config { tls, data: Some(data.path().to_owned()), ..Config::default() }).unwrap()
    });
    let ran = at(&tls.gateway()).expect(6);
    assert!(ran.err.contains("certificate") && ran.err.contains("SSL_CERT_FILE"), "{}", ran.err);
    assert!(tls.request_log().since(inxtfs::emulator::Mark::START).is_empty());
    let mut command = world.command();
    command.env("SSL_CERT_FILE", tls.ca_file().unwrap());
    command.args(["--gateway", &tls.gateway(), "login", "--email", EMAIL, "--password-stdin"]);
    run(&mut command, "demo\n").expect(0);

    world.cut_network();
    let mut command = world.command();
    command.args(["--gateway", &gateway, "login", "--email", EMAIL, "--password-stdin"]);
    let ran = run(&mut command, "demo\n").expect(6);
    assert!(ran.err.contains("check the network"), "{}", ran.err);
}

#[test]
fn an_empty_password_or_a_missing_terminal_asks_nothing_of_the_service() {
    let world = World::new();
    let mark = world.log().mark();
    let ran = world.login(EMAIL, "").expect(2);
    assert!(ran.err.contains("empty"), "{}", ran.err);
    let ran = world.run(["--gateway", &world.gateway(), "login", "--email", EMAIL]).expect(2);
    assert!(ran.err.contains("--password-stdin"), "{}", ran.err);
    let ran = world.run(["--gateway", &world.gateway(), "login"]).expect(2);
    assert!(ran.err.contains("--email"), "{}", ran.err);
    world.run(["--gateway", &world.gateway(), "login", "--email", "nobody"]).expect(2);
    assert!(world.log().since(mark).is_empty());
}

#[test]
fn on_a_terminal_the_password_is_asked_for_and_not_shown() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_inxtfs");
    let line = format!("{program} --gateway {} login --email {EMAIL}", world.gateway());
    let mut command = world.command_of("script");
    command.args(["-qec", &line, "/dev/null"]);
    // The prompt comes first; what is typed before it would be shown by the terminal itself.
    let ran = crate::world::run_slowly(&mut command, Duration::from_millis(1500), "demo\n").expect(0);
    assert!(ran.out.contains("Password: ") && ran.out.contains("Logged in"), "{}", ran.out);
    assert!(!ran.out.contains("Password: demo"), "{}", ran.out);
}
