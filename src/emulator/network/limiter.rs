//! The rate limit headers. The service counts a minute at a time, for each address and route, and
//! says what is left; it never refuses.

use std::collections::HashMap;
use std::net::IpAddr;

use axum::response::Response;
use parking_lot::Mutex;

const LIMIT: u32 = 1000;
const WINDOW_MS: i64 = 60_000;

#[derive(Default)]
pub(super) struct Limiter(Mutex<HashMap<(IpAddr, &'static str), Window>>);

#[derive(Clone, Copy)]
struct Window {
    ends: i64,
    used: u32,
}

impl Limiter {
    pub(super) fn stamp(&self, response: &mut Response, from: IpAddr, route: &'static str, now_ms: i64) {
        let window = {
            let mut windows = self.0.lock();
            windows.retain(|_, window| window.ends > now_ms);
            let fresh = Window { ends: now_ms + WINDOW_MS, used: 0 };
            let window = windows.entry((from, route)).or_insert(fresh);
            window.used += 1;
            *window
        };
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", LIMIT.into());
        headers.insert("x-ratelimit-remaining", LIMIT.saturating_sub(window.used).into());
        headers.insert("x-ratelimit-reset", (window.ends / 1000 + 1).into());
    }
}
