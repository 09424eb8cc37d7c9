//! An Internxt-compatible local server.

/// How it runs.
#[derive(Default)]
pub struct Config {
    /// Address.
    pub listen: Option<std::net::SocketAddr>,
}

/// A running one.
pub struct Emulator;

impl Emulator {
    /// Starts.
    ///
    /// # Errors
    /// Address in use.
    pub async fn start(_config: Config) -> std::io::Result<Self> {
        Ok(Emulator)
    }
    /// Where it is.
    #[must_use]
    pub fn gateway(&self) -> String {
        String::new()
    }
    /// Ends it.
    pub async fn shutdown(self) {}
}
