//! Logging in and out, the session, space and limits.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::super::wire::{size, text};
use super::super::{Drive, Lane, Public, Request};

/// What the login needs to know first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityDetails {
    /// The user's salt in an envelope.
    pub s_key: String,
    /// Whether a one-time code is asked for.
    #[serde(default)]
    pub tfa: bool,
    /// The account uses a password scheme this program does not speak.
    #[serde(default)]
    pub use_opaque_login: bool,
}

/// The account, as login and refresh tell it. Shown by nothing.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Its identity.
    pub uuid: String,
    /// Its address; may differ from what was typed.
    #[serde(default)]
    pub email: String,
    /// Half of the network's credentials.
    pub bridge_user: String,
    /// The other half.
    pub user_id: String,
    /// Where new files go.
    pub bucket: String,
    /// The root folder.
    pub root_folder_id: String,
    /// The master key in an envelope under the password.
    #[serde(default, deserialize_with = "text")]
    pub mnemonic: Option<String>,
}

/// A successful login.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The account.
    pub user: User,
    /// The token to use; the one called `token` is a relic.
    pub new_token: String,
}

/// A refreshed session.
pub type Refreshed = Access;

/// Space taken.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct SpaceUsed {
    /// Bytes of drive, backups and mail.
    #[serde(default, deserialize_with = "size")]
    pub total: Option<u64>,
    /// Bytes of the drive, trash included.
    #[serde(default, deserialize_with = "size")]
    pub drive: Option<u64>,
}

/// The quota.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpaceLimit {
    /// Bytes.
    #[serde(default, deserialize_with = "size")]
    pub max_space_bytes: Option<u64>,
}

/// The plan's limits.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadLimits {
    /// Bytes of the largest file; none: no limit set.
    #[serde(default, deserialize_with = "size")]
    pub max_upload_file_size: Option<u64>,
}

/// First step of a login. Counts as no attempt.
#[must_use]
pub fn security_details(email: &str) -> Request<Public, SecurityDetails> {
    Request::json(Method::POST, "auth/login".to_owned())
        .body(json!({ "email": email }))
        .repeatable()
        .lane(Lane::Look)
}

/// Second step of a login. **Ten refusals in a row lock the account everywhere**: never repeat one.
#[must_use]
pub fn access(email: &str, password_field: &str, totp: Option<&str>) -> Request<Public, Access> {
    let mut body = json!({"email": email, "password": password_field});
    if let Some(code) = totp {
        body["tfa"] = code.into();
    }
    Request::json(Method::POST, "auth/cli/login/access".to_owned()).body(body).lane(Lane::Look)
}

/// A new token and the present state of the account. The old token stays valid. Everybody may be waiting for it.
#[must_use]
pub fn refresh() -> Request<Drive, Refreshed> {
    Request::json(Method::GET, "users/cli/refresh".to_owned()).lane(Lane::Look)
}

/// Ends this token's life.
#[must_use]
pub fn logout() -> Request<Drive, ()> {
    Request::empty(Method::GET, "auth/logout".to_owned()).lane(Lane::Look)
}

/// Space taken; up to ten minutes old.
#[must_use]
pub fn space_used() -> Request<Drive, SpaceUsed> {
    Request::json(Method::GET, "users/usage".to_owned()).lane(Lane::Background)
}

/// The quota.
#[must_use]
pub fn space_limit() -> Request<Drive, SpaceLimit> {
    Request::json(Method::GET, "users/limit".to_owned()).lane(Lane::Background)
}

/// The plan's limits.
#[must_use]
pub fn limits() -> Request<Drive, UploadLimits> {
    Request::json(Method::GET, "files/limits".to_owned()).lane(Lane::Background)
}
