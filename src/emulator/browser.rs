//! The pages of a login with the browser: who is to be logged in, and the way back to the program that asked.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Shared;
use super::validation::Query;

/// How long the session of the browser lives.
const LIFE: std::time::Duration = std::time::Duration::from_secs(3 * 86_400);

/// `GET /login?universalLink=true&redirectUri=…`: a choice of accounts; with `&account=EMAIL`, the way back.
pub(super) fn login(shared: &Shared, uri: &Uri) -> Response {
    let query = Query::parse(uri.query().unwrap_or_default());
    let back = query.get("redirectUri").and_then(|coded| STANDARD.decode(coded).ok());
    let Some(back) = back.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|to| is_allowed(to)) else {
        return page(StatusCode::BAD_REQUEST, "<p>The address to go back to is not allowed.</p>");
    };
    let accounts = shared.world.accounts();
    let Some(account) = query.get("account").and_then(|email| accounts.iter().find(|a| a.email == email))
    else {
        let here = uri.path_and_query().map_or("", |p| p.as_str()).replace('&', "&amp;");
        let links =
            accounts.iter().map(|a| format!("<li><a href=\"{here}&amp;account={0}\">{0}</a></li>", a.email));
        return page(StatusCode::OK, &format!("<p>Log in as</p><ul>{}</ul>", links.collect::<String>()));
    };
    let token = shared.world.issue_token(&account.email, LIFE).unwrap_or_default();
    // The service's page leaves the signs of base64 as they are.
    let code = |text: &str| STANDARD.encode(text);
    let to = format!("{back}?mnemonic={}&newToken={}&privateKey=", code(&account.mnemonic), code(&token));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(to) = HeaderValue::from_str(&to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

/// Where the browser ends: `/auth-link-ok`, `/auth-link-error`.
pub(super) fn end(ok: bool) -> Response {
    let text = if ok { "<p>Logged in. You can close this page.</p>" } else { "<p>That did not work.</p>" };
    page(StatusCode::OK, text)
}

/// The service sends keys to this very machine only.
fn is_allowed(to: &str) -> bool {
    to.strip_prefix("http://127.0.0.1").is_some_and(|rest| rest.starts_with([':', '/']))
}

fn page(status: StatusCode, body: &str) -> Response {
    let text = format!(
        "<!DOCTYPE html>\n<html><head><title>Emulated Internxt</title></head><body>{body}</body></html>\n"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}
