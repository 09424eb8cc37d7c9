//! The session against a service that rotates, refuses and forgets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::live::Failure;
use super::*;
use crate::api::testing::{Reply, Seen, Server, hasty, json as reply, reply as raw};
use crate::api::{self, ClientId, Gateway, Http, drive, network};
use crate::remote::Error;
use crate::types::Timestamp;

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// A token with a life around now, in seconds.
fn token(name: &str, from: i64, to: i64) -> String {
    let now = Timestamp::now().secs;
    let claims = json!({"jti": name, "iat": now + from, "exp": now + to});
    format!("e30.{}.{name}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn credentials(gateway: &Gateway, token: &str) -> Credentials {
    Credentials {
        email: "user@example.com".to_owned(),
        account: "93f3fbeb-a816-4a37-a886-63e481be4d03".to_owned(),
        token: token.to_owned(),
        mnemonic: WORDS.to_owned(),
        bridge_user: "user@example.com".to_owned(),
        user_id: "$2a$08$old".to_owned(),
        bucket: "6b023f4716b232cd334cadf7".to_owned(),
        root: "d5102fa9-aff9-43b0-88ca-5902bfd703da".to_owned(),
        gateway: gateway.to_string(),
        again: None,
    }
}

fn user(user_id: &str) -> Value {
    json!({
        "email": "user@example.com", "userId": user_id, "mnemonic": "53616c74", "root_folder_id": 1,
        "rootFolderId": "d5102fa9-aff9-43b0-88ca-5902bfd703da", "uuid": "93f3fbeb-a816-4a37-a886-63e481be4d03",
        "privateKey": null, "bucket": "6b023f4716b232cd334cadf7", "bridgeUser": "user@example.com",
    })
}

fn unauthorized() -> Reply {
    reply(401, &json!({"message": "Unauthorized", "statusCode": 401}))
}

#[derive(Default)]
struct InMemory(Mutex<Option<Credentials>>);

impl Secrets for InMemory {
    fn load(&self) -> Result<Option<Credentials>, SecretsError> {
        Ok(self.0.lock().clone())
    }
    fn save(&self, credentials: &Credentials) -> Result<(), SecretsError> {
        *self.0.lock() = Some(credentials.clone());
        Ok(())
    }
    fn forget(&self) -> Result<(), SecretsError> {
        *self.0.lock() = None;
        Ok(())
    }
}

async fn session(
    answer: impl Fn(&Seen, &InMemory) -> Reply + Send + Sync + 'static,
    token: &str,
) -> (Server, Arc<InMemory>, Session) {
    let secrets = Arc::new(InMemory::default());
    let kept = secrets.clone();
    let server = Server::new(move |seen| answer(seen, &kept)).await;
    let credentials = credentials(&server.gateway, token);
    secrets.save(&credentials).unwrap();
    let http = Http::new(server.gateway.clone(), ClientId::random(), hasty()).unwrap();
    let session = Session::new(http, secrets.clone(), credentials);
    (server, secrets, session)
}

#[tokio::test]
async fn many_refusals_make_one_renewal_kept_before_it_is_used() {
    let fresh = token("fresh", 0, 9000);
    let given = fresh.clone();
    let (server, _, session) = session(
        move |seen, secrets| match seen.path.as_str() {
            "/drive/users/cli/refresh" => {
                reply(200, &json!({"user": user("$2a$08$new"), "token": "relic", "newToken": given}))
            }
            _ if seen.header("authorization") == format!("Bearer {given}") => {
                let kept = secrets.load().unwrap().unwrap();
                assert_eq!(kept.token, given, "the token was used before it was kept");
                reply(200, &json!({"maxSpaceBytes": "5"}))
            }
            _ => unauthorized(),
        },
        &token("revoked", 0, 9000),
    )
    .await;
    let limit = drive::space_limit();
    let calls = futures_util::future::join_all((0..8).map(|_| session.drive(&limit))).await;
    assert!(calls.iter().all(|c| c.as_ref().is_ok_and(|l| l.max_space_bytes == Some(5))), "{calls:?}");
    assert_eq!(server.count("GET /drive/users/cli/refresh"), 1);
    assert_eq!(session.credentials().token, fresh);
    assert_eq!(session.credentials().user_id, "$2a$08$new");
    assert_eq!(*session.health().borrow(), SessionHealth::Good);
}

#[tokio::test]
async fn tokens_are_renewed_half_way_without_a_refusal() {
    let (server, _, session) = session(
        |seen, _| match seen.path.as_str() {
            "/drive/users/cli/refresh" => {
                reply(200, &json!({"user": user("u"), "newToken": token("fresh", 0, 9000)}))
            }
            _ => reply(200, &json!({"maxSpaceBytes": 5})),
        },
        &token("old", -6000, 3000),
    )
    .await;
    for _ in 0..3 {
        session.drive(&drive::space_limit()).await.unwrap();
    }
    assert_eq!(server.count("GET /drive/users/cli/refresh"), 1);
    assert!(server.seen().last().unwrap().header("authorization").ends_with(".fresh"));
}

#[tokio::test]
async fn a_refused_renewal_loses_the_session_until_somebody_logs_in() {
    let (server, secrets, session) = session(
        |seen, _| match seen.header("authorization").ends_with(".login") {
            true => reply(200, &json!({"maxSpaceBytes": 5})),
            false => unauthorized(),
        },
        &token("dead", 0, 9000),
    )
    .await;
    let lost = session.drive(&drive::space_limit()).await.unwrap_err();
    assert!(matches!(lost, Failure::Session(Error::SessionLost)), "{lost:?}");
    assert!(matches!(*session.health().borrow(), SessionHealth::Lost { .. }));
    let asked = server.seen().len();
    secrets.save(&credentials(&server.gateway, &token("login", 0, 9000))).unwrap();
    session.drive(&drive::space_limit()).await.unwrap();
    assert_eq!(*session.health().borrow(), SessionHealth::Good);
    assert_eq!(server.seen().len(), asked + 1, "a lost session kept asking");
}

#[tokio::test]
async fn a_captive_portal_costs_no_session() {
    let page = "<!doctype html><title>Sign in to use this network</title>";
    for (status, header) in [(200, "text/html"), (401, "text/html"), (511, "text/html"), (302, "text/plain")]
    {
        let (_server, _, session) = session(
            move |seen, _| match seen.path.as_str() {
                "/drive/users/cli/refresh" => {
                    raw(status, &[("content-type", header), ("location", "http://login.invalid/")], page)
                }
                _ => unauthorized(),
            },
            &token("expired", -9000, -10),
        )
        .await;
        let failed = session.drive(&drive::space_limit()).await.unwrap_err();
        assert!(matches!(failed, Failure::Session(Error::Offline(_))), "{status}: {failed:?}");
        assert_eq!(*session.health().borrow(), SessionHealth::Good, "{status}");
    }
}

#[tokio::test]
async fn another_master_key_or_account_is_never_adopted() {
    for change in [(|c: &mut Credentials| c.mnemonic = "another".to_owned()) as fn(&mut Credentials), |c| {
        c.account = "another".to_owned()
    }] {
        let (server, secrets, session) = session(|_, _| unauthorized(), &token("dead", 0, 9000)).await;
        let mut other = credentials(&server.gateway, &token("login", 0, 9000));
        change(&mut other);
        secrets.save(&other).unwrap();
        let lost = session.drive(&drive::space_limit()).await.unwrap_err();
        assert!(matches!(lost, Failure::Session(Error::SessionLost)), "{lost:?}");
        assert_eq!(session.credentials().mnemonic, WORDS);
        assert_eq!(server.count("GET /drive/users/cli/refresh"), 0);
    }
    let (_server, _, session) = session(
        |seen, _| match seen.path.as_str() {
            "/drive/users/cli/refresh" => {
                let mut user = user("u");
                user["uuid"] = "another".into();
                reply(200, &json!({"user": user, "newToken": "x"}))
            }
            _ => unauthorized(),
        },
        &token("dead", 0, 9000),
    )
    .await;
    assert!(session.drive(&drive::space_limit()).await.is_err());
    assert!(matches!(*session.health().borrow(), SessionHealth::Lost { .. }));
}

#[tokio::test]
async fn a_plan_that_refuses_renewals_leaves_the_token_working() {
    let (server, _, session) = session(
        |seen, _| match seen.path.as_str() {
            "/drive/users/cli/refresh" => {
                reply(402, &json!({"message": "CLI access not allowed for this user tier"}))
            }
            _ => reply(200, &json!({"maxSpaceBytes": 5})),
        },
        &token("old", -6000, 3000),
    )
    .await;
    for _ in 0..3 {
        session.drive(&drive::space_limit()).await.unwrap();
    }
    assert_eq!(server.count("GET /drive/users/cli/refresh"), 1);
    let health = session.health().borrow().clone();
    assert!(
        matches!(&health, SessionHealth::PlanLimited { why, until: Some(_) } if why.contains("CLI")),
        "{health:?}"
    );
}

#[tokio::test]
async fn a_refused_network_user_is_looked_up_once() {
    let renamed = api::Basic::new("user@example.com", "$2a$08$new");
    let expected = api::testing::authorization(&renamed);
    let (server, _, session) = session(
        move |seen, _| match seen.path.as_str() {
            "/drive/users/cli/refresh" => {
                reply(200, &json!({"user": user("$2a$08$new"), "newToken": token("fresh", 0, 9000)}))
            }
            _ if seen.header("authorization") == expected => reply(200, &json!({"id": "e"})),
            _ => reply(401, &json!({"error": "Invalid email or password"})),
        },
        &token("good", 0, 9000),
    )
    .await;
    session.network(&network::delete("b", "f")).await.unwrap();
    assert_eq!(server.count("DELETE"), 2);
    assert_eq!(server.count("GET /drive/users/cli/refresh"), 1);
}

fn file() -> (tempfile::TempDir, FileSecrets, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inxtfs").join("credentials");
    let secrets = on_machine(&path, None);
    (dir, secrets, path)
}

fn on_machine(path: &Path, handed: Option<&Path>) -> FileSecrets {
    FileSecrets::on_machine(path.to_owned(), b"machine-1\n".to_vec(), handed.map(Path::to_owned))
}

#[test]
fn files_keep_credentials_sealed_and_private() {
    let (_dir, secrets, path) = file();
    assert!(secrets.load().unwrap().is_none());
    let one = credentials(&Gateway::default(), "t0ken-one");
    secrets.save(&one).unwrap();
    assert!(secrets.load().unwrap().unwrap() == one);
    let two = credentials(&Gateway::default(), "t0ken-two");
    secrets.save(&two).unwrap();
    assert!(secrets.load().unwrap().unwrap() == two);
    let entries: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(entries.len(), 2, "leftovers: {entries:?}");
    for entry in entries {
        assert_eq!(fs::metadata(&entry).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&entry).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains("t0ken")
                && !String::from_utf8_lossy(&bytes).contains("legal")
        );
    }
    secrets.forget().unwrap();
    secrets.forget().unwrap();
    assert!(secrets.load().unwrap().is_none());
    assert_eq!(format!("{one:?} {one}"), "Credentials(…) Credentials(…)");
}

#[test]
fn exposed_damaged_and_foreign_files_are_refused_and_left_alone() {
    let (_dir, secrets, path) = file();
    secrets.save(&credentials(&Gateway::default(), "t0ken")).unwrap();
    let good = fs::read(&path).unwrap();

    let foreign = FileSecrets::on_machine(path.clone(), b"machine-2".to_vec(), None);
    assert!(matches!(foreign.load(), Err(SecretsError::Damaged { .. })));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(secrets.load(), Err(SecretsError::Exposed { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [flipped, good[..good.len() - 1].to_vec(), good[..10].to_vec(), b"hello".to_vec(), Vec::new()]
    {
        fs::write(&path, &bad).unwrap();
        assert!(matches!(secrets.load(), Err(SecretsError::Damaged { .. })));
        assert_eq!(fs::read(&path).unwrap(), bad, "a damaged file was touched");
    }
    fs::write(&path, &good).unwrap();
    assert!(secrets.load().unwrap().is_some());
    fs::remove_file(path.with_extension("key")).unwrap();
    assert!(matches!(secrets.load(), Err(SecretsError::Damaged { .. })));
}

#[test]
fn a_key_that_systemd_hands_in_opens_the_login_and_is_never_written() {
    let (dir, _, path) = file();
    let handed = dir.path().join("handed");
    fs::create_dir(&handed).unwrap();
    fs::write(handed.join("inxtfs.key"), format!("{}\n", hex::encode([9; 32]))).unwrap();
    let (of_unit, elsewhere) = (|| on_machine(&path, Some(&handed)), || on_machine(&path, None));
    let one = credentials(&Gateway::default(), "t0ken-one");
    of_unit().keeping(KeyPlace::Systemd).save(&one).unwrap();
    assert!(!path.with_extension("key").exists());
    assert!(of_unit().load().unwrap().unwrap() == one);
    let away = elsewhere().load();
    assert!(matches!(away, Err(SecretsError::KeyAway { place: KeyPlace::Systemd, .. })));
    assert_eq!(elsewhere().place().unwrap(), Some(KeyPlace::Systemd), "where it is can be told without it");

    // A renewal leaves it where it is; a login may take it elsewhere and back.
    of_unit().save(&one).unwrap();
    assert_eq!(of_unit().place().unwrap(), Some(KeyPlace::Systemd));
    of_unit().keeping(KeyPlace::File).save(&one).unwrap();
    assert!(elsewhere().load().unwrap().unwrap() == one);
    of_unit().keeping(KeyPlace::Systemd).save(&one).unwrap();
    assert!(!path.with_extension("key").exists(), "a key that opens nothing any more is left");

    fs::write(handed.join("inxtfs.key"), [8; 32]).unwrap();
    assert!(matches!(of_unit().load(), Err(SecretsError::Damaged { .. })), "another key");
    fs::write(handed.join("inxtfs.key"), "password").unwrap();
    let words = of_unit().load().err().unwrap().to_string();
    assert!(words.contains("is not a key") && words.contains("--keep-key file"), "{words}");
    of_unit().forget().unwrap();
    assert!(!path.exists() && handed.join("inxtfs.key").exists());
}

#[test]
fn who_has_opened_a_login_goes_on_while_its_key_is_away() {
    let (dir, _, path) = file();
    let handed = dir.path().join("handed");
    fs::create_dir(&handed).unwrap();
    let credential = handed.join("inxtfs.key");
    fs::write(&credential, [9; 32]).unwrap();
    let of_unit = || on_machine(&path, Some(&handed));
    let (one, two) =
        (credentials(&Gateway::default(), "t0ken-one"), credentials(&Gateway::default(), "t0ken-two"));
    of_unit().keeping(KeyPlace::Systemd).save(&one).unwrap();
    let running = of_unit();
    assert!(running.load().unwrap().unwrap() == one);
    fs::remove_file(&credential).unwrap();
    running.save(&two).unwrap();
    assert!(running.load().unwrap().unwrap() == two);
    assert!(matches!(of_unit().load(), Err(SecretsError::KeyAway { .. })));
    // Somebody logs in anew, with another key.
    fs::write(&credential, [8; 32]).unwrap();
    of_unit().keeping(KeyPlace::Systemd).save(&one).unwrap();
    assert!(running.load().unwrap().unwrap() == one);
}

#[test]
fn a_login_whose_key_lies_beside_it_is_as_it_always_was() {
    let (_dir, secrets, path) = file();
    assert_eq!(secrets.place().unwrap(), None);
    secrets.save(&credentials(&Gateway::default(), "t0ken")).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(b"inxtsec1"), "older versions read it");
    assert_eq!(fs::read(path.with_extension("key")).unwrap().len(), 32);
    assert_eq!(secrets.place().unwrap(), Some(KeyPlace::File));
    // A newer version's place is not taken for damage that a login may destroy unseen.
    let mut newer = fs::read(&path).unwrap();
    newer.splice(..8, *b"inxtsec2?");
    fs::write(&path, &newer).unwrap();
    let words = secrets.load().err().unwrap().to_string();
    assert!(words.contains("newer version"), "{words}");
}

const S_KEY: &str = "53616c7465645f5f0011223344556677517d0078a23ff984e50a6ccc0fa515849d3bec43bd35361e6000da97ee14c7e23cbf54dbd704880b1674f1b802a17449";
const SEALED: &str = "53616c7465645f5f0011223344556677daea8eda9372c652a16613c6d588c95fb659c1178bd754d86537733690875d2e7e69c8133d64c9f3796a04b21fd8114ef03cb150ed16f8d420214552bf1ebdc1bd290e2a166c07bbcb6ac49a44cbca0f";

fn request(totp: Option<&str>) -> Login {
    Login {
        email: " user@example.com ".to_owned(),
        password: SecretString::from("correct horse battery staple"),
        totp: totp.map(str::to_owned),
        backup_key: None,
    }
}

async fn login_server(tfa: bool, status: u16, answer: Value) -> Server {
    Server::new(move |seen| match seen.path.as_str() {
        "/drive/auth/login" => reply(200, &json!({"hasKeys": true, "sKey": S_KEY, "tfa": tfa})),
        _ => reply(status, &answer),
    })
    .await
}

#[tokio::test]
async fn a_login_yields_verified_credentials_and_sends_no_keys() {
    let mut user = user("$2a$08$x");
    user["mnemonic"] = SEALED.into();
    let server = login_server(true, 200, json!({"user": user, "token": "relic", "newToken": "n3w"})).await;
    assert!(needs_totp(&server.gateway, "user@example.com").await.unwrap());
    let without = login(&server.gateway, request(None)).await;
    assert!(matches!(without, Err(LoginError::TotpNeeded)));
    assert_eq!(server.count("POST /drive/auth/cli/login/access"), 0);

    let got = login(&server.gateway, request(Some("123456"))).await.unwrap();
    assert_eq!((got.token.as_str(), got.mnemonic.as_str()), ("n3w", WORDS));
    assert_eq!(got.gateway, server.gateway.as_str());
    let sent = server.seen().pop().unwrap().json();
    let mut fields: Vec<_> = sent.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, ["email", "password", "tfa"]);
    assert_eq!(sent["email"], "user@example.com");
    assert_eq!(sent["password"].as_str().unwrap().len(), 192);
}

#[tokio::test]
async fn refused_logins_are_told_apart_and_tried_once() {
    type Check = fn(&LoginError) -> bool;
    let cases: [(u16, &str, Check); 5] = [
        (401, "Wrong login credentials", |e| matches!(e, LoginError::WrongPassword)),
        (401, "Wrong 2-factor auth code", |e| matches!(e, LoginError::WrongTotp)),
        (402, "rclone access not allowed for this user tier", |e| matches!(e, LoginError::PlanAccess(_))),
        (403, "Your account has been blocked for security reasons. Please reach out to us", |e| {
            matches!(e, LoginError::Blocked(_))
        }),
        (500, "Internal Server Error", |e| matches!(e, LoginError::Protocol(_))),
    ];
    for (status, message, check) in cases {
        let server = login_server(false, status, json!({"message": message, "statusCode": status})).await;
        let error = login(&server.gateway, request(None)).await.unwrap_err();
        assert!(check(&error), "{error:?}");
        assert_eq!(server.count("POST /drive/auth/cli/login/access"), 1);
    }
}

#[tokio::test]
async fn a_new_password_scheme_and_an_old_session_are_handled() {
    let calls = AtomicUsize::new(0);
    let server = Server::new(move |seen| match seen.path.as_str() {
        "/drive/auth/login" => reply(200, &json!({"sKey": "", "useOpaqueLogin": true})),
        _ if calls.fetch_add(1, Ordering::Relaxed) == 0 => reply(200, &json!({"logout": true})),
        _ => unauthorized(),
    })
    .await;
    assert!(matches!(login(&server.gateway, request(None)).await, Err(LoginError::WebLoginNeeded)));
    let credentials = credentials(&server.gateway, "t");
    logout(&credentials, &server.gateway).await.unwrap();
    logout(&credentials, &server.gateway).await.unwrap();
}
