//! Internxt's wire.

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway(String);

impl Gateway {
    /// Internxt's own.
    pub const DEFAULT: &'static str = "https://gateway.internxt.com";
    /// From a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, std::io::Error> {
        Ok(Gateway(url.to_owned()))
    }
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
