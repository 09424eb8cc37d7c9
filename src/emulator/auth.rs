//! Logins, tokens, refreshes, and the plan gates before them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::drive::Ctx;
use super::errors::{Answer, Reply, bare, forbidden, ok, payment, refuse, unauthorized};
use super::secret;
use super::validation::Checks;
use super::world::Inner;
use super::world::account::Account;
use super::world::clock;

/// Known to the emulator alone; clients cannot verify tokens and need not.
const TOKEN_SECRET: &str = "inxtfs emulator token secret";

/// Wrong logins in a row before the account is blocked.
const MAX_FAILURES: u32 = 10;

/// Clients counted as the official command line; all others are `rclone`.
const OFFICIAL: [&str; 2] = ["internxt-cli", "@internxt/cli"];

fn wrong_credentials() -> Answer {
    refuse(StatusCode::UNAUTHORIZED, "Wrong login credentials")
}

fn check_email(checks: &mut Checks, body: &Value) -> String {
    let email = body.get("email").and_then(Value::as_str).unwrap_or_default();
    let valid = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
    if !valid {
        checks.complain("email must be an email");
    }
    if email.is_empty() {
        checks.complain("email should not be empty");
    }
    email.to_owned()
}

/// `POST /auth/login`: the salt of the password, sealed anew every time.
pub(crate) fn login(ctx: &Ctx) -> Reply {
    let mut checks = Checks::default();
    let email = check_email(&mut checks, &ctx.body);
    checks.finish()?;
    let world = ctx.world();
    let account = world.account_by_email(&email).ok_or_else(wrong_credentials)?;
    let mut salt = [0; 8];
    salt.copy_from_slice(&Uuid::new_v4().as_bytes()[..8]);
    ok(json!({
        "hasKeys": true,
        "sKey": secret::seal(&hex::encode(account.salt()), secret::APP_SECRET, salt),
        "tfa": account.spec.totp_secret.is_some(),
        "hasKyberKeys": true,
        "hasEccKeys": true,
    }))
}

/// `POST /auth/login/access` and, with the plan check, `POST /auth/cli/login/access`.
pub(crate) fn access(ctx: &Ctx, command_line: bool) -> Reply {
    let mut checks = Checks::default();
    let email = check_email(&mut checks, &ctx.body);
    let sealed = ctx.body.get("password").and_then(Value::as_str).unwrap_or_default();
    if sealed.len() != 192 || !sealed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        checks.complain("password must be a valid encrypted password");
    }
    checks.finish()?;

    let index = verify_login(ctx, &email, sealed)?;
    let client = ctx.header("internxt-client-id").or_else(|| ctx.header("internxt-client"));
    let official = client.is_some_and(|client| OFFICIAL.contains(&client));
    let platform = if official { "cli" } else { "rclone" };
    let world = ctx.world();
    let account = world.account(index);
    if command_line {
        let allowed = if official { account.cli_access() } else { account.rclone_access() };
        if !allowed {
            return Err(payment(&format!("{platform} access not allowed for this user tier")));
        }
    }
    let now = world.now() / 1_000_000;
    let life = seconds(ctx.shared.knobs.token_life());
    let mut user = profile(&world, account);
    user["tierId"] = json!(account.spec.plan.id());
    user["appSumoDetails"] = Value::Null;
    ok(json!({
        "user": user,
        "token": legacy_token(account, now, life),
        "userTeam": null,
        "newToken": new_token(account, now, life, command_line.then_some(platform)),
    }))
}

/// Checks block, password and code in that order, and counts failures.
fn verify_login(ctx: &Ctx, email: &str, sealed: &str) -> Result<u32, Answer> {
    let given = secret::open(sealed, secret::APP_SECRET);
    let mut world = ctx.world();
    let step = u64::try_from(world.now() / 30_000_000).unwrap_or(0);
    let account = world.account_by_email(email).ok_or_else(wrong_credentials)?;
    let index = account.index;
    if account.spec.failed_logins >= MAX_FAILURES {
        return Err(forbidden("Your account has been blocked for security reasons. Please reach out to us"));
    }
    let refusal = if given.as_deref() != Some(account.password_hash()) {
        Some(wrong_credentials())
    } else {
        let code = ctx.body.get("tfa").and_then(Value::as_str).unwrap_or_default();
        let fits = account.spec.totp_secret.as_deref().is_none_or(|secret| {
            (step.saturating_sub(2)..=step + 2)
                .any(|step| secret::totp(secret, step).as_deref() == Some(code))
        });
        (!fits).then(|| refuse(StatusCode::UNAUTHORIZED, "Wrong 2-factor auth code"))
    };
    let failures = &mut world.account_mut(index).spec.failed_logins;
    match refusal {
        Some(refusal) => {
            *failures += 1;
            world.mark_dirty();
            Err(refusal)
        }
        None => {
            if std::mem::take(failures) > 0 {
                world.mark_dirty();
            }
            Ok(index)
        }
    }
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2)
}

/// What every login and refresh says of the user.
fn profile(world: &Inner, account: &Account) -> Value {
    let email = account.spec.email.as_str();
    // Not real keys: the same noise of the same length on every answer.
    let key = |what: &str, bytes: usize| {
        let hash = secret::sha256(&format!("{what} of {email}"));
        secret::noise(u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], 0, 0, 0, 0]), bytes)
    };
    let (private, public) = (key("private key", 813), key("public key", 612));
    json!({
        "email": email,
        "userId": account.user_id,
        "mnemonic": account.sealed_mnemonic(),
        "root_folder_id": world.primary().folders.get(account.root).map(|root| root.id),
        "rootFolderId": account.root,
        "name": "Test",
        "lastname": "User",
        "uuid": account.uuid,
        "credit": 0,
        "createdAt": clock::iso(account.created),
        "privateKey": private,
        "publicKey": public,
        "revocateKey": null,
        "keys": {
            "ecc": { "privateKey": private, "publicKey": public },
            "kyber": { "privateKey": key("kyber private key", 2274), "publicKey": key("kyber key", 801) },
        },
        "bucket": account.bucket,
        "registerCompleted": true,
        "teams": false,
        "username": email,
        "bridgeUser": email,
        "sharedWorkspace": false,
        "hasReferralsProgram": false,
        "backupsBucket": null,
        "avatar": null,
        "emailVerified": false,
        "lastPasswordChangedAt": account.password_changed.map(clock::iso),
    })
}

/// The old kind of token; the API itself refuses it.
fn legacy_token(account: &Account, now: i64, life: i64) -> String {
    secret::sign(&json!({ "email": account.spec.email, "iat": now, "exp": now + life }), TOKEN_SECRET)
}

fn new_token(account: &Account, now: i64, life: i64, platform: Option<&str>) -> String {
    let mut payload = json!({
        "uuid": account.uuid,
        "email": account.spec.email,
        "name": "Test",
        "lastname": "User",
        "username": account.spec.email,
        "sharedWorkspace": true,
        "networkCredentials": { "user": account.spec.email },
        "tierId": account.spec.plan.id(),
        "workspaces": { "owners": [] },
    });
    if let Some(platform) = platform {
        payload["platform"] = json!(platform);
    }
    let claims = json!({
        "jti": Uuid::new_v4(),
        "sub": account.uuid,
        "payload": payload,
        "iat": now,
        "exp": now + life,
    });
    secret::sign(&claims, TOKEN_SECRET)
}

/// A fresh token, as a login through the web application gives it.
pub(crate) fn issue(world: &Inner, account: &Account, life: std::time::Duration) -> String {
    new_token(account, world.now() / 1_000_000, seconds(life), None)
}

/// Finds the account of the bearer token, or refuses.
pub(crate) fn authenticate(ctx: &mut Ctx) -> Result<(), Answer> {
    let token = ctx.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let (me, claims) = token.and_then(|token| holder(&ctx.world(), token)).ok_or_else(unauthorized)?;
    let uuid = ctx.world().account(me).uuid.to_string();
    ctx.me_uuid = uuid;
    ctx.me = me;
    ctx.claims = claims;
    Ok(())
}

/// The account and claims of a token that is good: not forged, expired, logged out, of the legacy
/// kind, or older than the password.
pub(crate) fn holder(world: &Inner, token: &str) -> Option<(u32, Value)> {
    let claims = secret::verify(token, TOKEN_SECRET)?;
    let (issued, expiry) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
    let account = world.account_by_uuid(claims["payload"]["uuid"].as_str()?)?;
    let logged_out = world.blacklist.contains_key(claims["jti"].as_str()?);
    let stale = account.password_changed.is_some_and(|changed| issued < changed / 1_000_000);
    let live = world.now() / 1_000_000 < expiry && !logged_out && !stale;
    live.then_some((account.index, claims))
}

/// `GET /users/refresh`.
pub(crate) fn refresh(ctx: &Ctx) -> Reply {
    renew(ctx, ctx.shared.knobs.refresh_life())
}

/// `GET /users/cli/refresh`: asks for command line access whatever the client is.
pub(crate) fn refresh_cli(ctx: &Ctx) -> Reply {
    if !ctx.world().account(ctx.me).cli_access() {
        return Err(payment("CLI access not allowed for this user tier"));
    }
    renew(ctx, ctx.shared.knobs.refresh_life())
}

/// `GET /users/c/{uuid}`: deprecated, and its token lives only as long as one of a login.
pub(crate) fn refresh_own(ctx: &Ctx, uuid: &str) -> Reply {
    if uuid != ctx.me_uuid {
        return Err(bare(StatusCode::FORBIDDEN));
    }
    renew(ctx, ctx.shared.knobs.token_life())
}

fn renew(ctx: &Ctx, life: std::time::Duration) -> Reply {
    let world = ctx.world();
    let account = world.account(ctx.me);
    let (now, life) = (world.now() / 1_000_000, seconds(life));
    let legacy = legacy_token(account, now, life);
    ok(json!({
        "user": profile(&world, account),
        "oldToken": legacy,
        "token": legacy,
        "newToken": new_token(account, now, life, None),
    }))
}

/// `GET /auth/logout`: this token only.
pub(crate) fn logout(ctx: &Ctx) -> Reply {
    let jti = ctx.claims["jti"].as_str().unwrap_or_default().to_owned();
    let mut world = ctx.world();
    world.blacklist.insert(jti, ctx.claims["exp"].as_i64().unwrap_or(i64::MAX));
    world.mark_dirty();
    ok(json!({ "logout": true }))
}

/// `GET /auth/are-credentials-correct`.
pub(crate) fn credentials_correct(ctx: &Ctx) -> Reply {
    let given = ctx.query.get("hashedPassword").unwrap_or_default();
    let world = ctx.world();
    if world.account(ctx.me).password_hash() == given { ok(json!(true)) } else { Err(wrong_credentials()) }
}
