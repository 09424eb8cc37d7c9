//! Where the service is.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

/// The service's front door: the drive API is at `/drive`, the network API at `/network`.
#[derive(Clone, PartialEq, Eq)]
pub struct Gateway {
    url: Url,
    loopback: bool,
}

/// Why an address is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GatewayError {
    /// Not a URL with a host, or one with a user, query or fragment.
    #[error("the gateway must be a plain URL such as https://gateway.internxt.com")]
    NotAUrl,
    /// Credentials would travel in clear.
    #[error("plain http is only allowed to this machine itself; use https")]
    PlainHttp,
}

impl Gateway {
    /// The service of Internxt itself.
    pub const DEFAULT: &'static str = "https://gateway.internxt.com";

    /// Checks an address. Plain http goes to the loopback only.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub fn parse(text: &str) -> Result<Self, GatewayError> {
        let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|_| GatewayError::NotAUrl)?;
        let loopback = is_loopback(&url);
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        match url.scheme() {
            _ if !plain || url.host_str().is_none_or(str::is_empty) => Err(GatewayError::NotAUrl),
            "https" => Ok(Gateway { url, loopback }),
            "http" if loopback => Ok(Gateway { url, loopback }),
            "http" => Err(GatewayError::PlainHttp),
            _ => Err(GatewayError::NotAUrl),
        }
    }

    /// Whether it is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The address, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }
}

impl Default for Gateway {
    fn default() -> Self {
        // The constant is a valid URL; the tests hold it to that.
        match Self::parse(Self::DEFAULT) {
            Ok(gateway) => gateway,
            Err(_) => unreachable!("the default gateway is a URL"),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a URL's host is this machine, by address or by the one name that always is.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_the_loopback_only() {
        for good in ["http://127.0.0.1:9000", "http://127.8.8.8/", "http://[::1]:80", "http://localhost:1/x/"]
        {
            assert!(Gateway::parse(good).is_ok_and(|g| g.is_loopback()), "{good}");
        }
        for plain in ["http://gateway.internxt.com", "http://127.0.0.1.evil.example", "http://10.0.0.1"] {
            assert_eq!(Gateway::parse(plain), Err(GatewayError::PlainHttp), "{plain}");
        }
        for odd in ["", "gateway", "ftp://127.0.0.1", "https://a:b@host", "https://h/?q", "https://h/#f"] {
            assert_eq!(Gateway::parse(odd), Err(GatewayError::NotAUrl), "{odd}");
        }
        assert_eq!(Gateway::default().as_str(), Gateway::DEFAULT);
        assert!(!Gateway::default().is_loopback());
    }
}
