//! Whether the service is there, asked without credentials.

use std::time::Duration;

use reqwest::header::DATE;
use tokio::time::Instant;

use super::answer::is_html;
use super::{Http, within};
use crate::api::{Error, Result};

/// What an answer to nobody tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Seconds since 1970 by the service's clock, where it tells.
    pub date: Option<i64>,
    /// How long the answer took, a new connection included.
    pub took: Duration,
}

impl Http {
    /// Asks the gateway for something it must refuse: any answer of its own will do. One try.
    ///
    /// # Errors
    /// [`Error::Captive`] if a web page answers; those of the connection.
    pub async fn probe(&self) -> Result<Probe> {
        let inner = &*self.0;
        let url = format!("{}/drive/users/limit", inner.gateway.as_str());
        let began = Instant::now();
        let response = within(inner.tuning.answer, inner.client.get(url).send()).await?;
        let took = began.elapsed();
        if is_html(response.headers()) {
            return Err(Error::Captive("a web page".to_owned()));
        }
        let date = response.headers().get(DATE).and_then(|v| v.to_str().ok()).and_then(seconds);
        Ok(Probe { date, took })
    }
}

/// `Fri, 27 Nov 2026 03:10:33 GMT`.
fn seconds(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_clock_is_understood() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:01:40 GMT"), Some(100));
        assert_eq!(seconds("Fri, 27 Nov 2026 03:10:33 GMT"), Some(1_795_749_033));
        assert_eq!(seconds("soon"), None);
    }
}
