//! Internxt's wire.

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway(String);

impl Gateway {
    /// From a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        Ok(Gateway(url.to_owned()))
    }
}
