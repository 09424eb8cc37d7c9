//! An Internxt-compatible local server.

/// How it runs.
#[derive(Default)]
pub struct Config {
    /// The accounts of a new world.
    pub accounts: Vec<AccountSpec>,
}

/// An account.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Login name.
    pub email: String,
    /// Password.
    pub password: String,
}

/// A running one.
pub struct Emulator;

impl Emulator {
    /// Starts.
    pub fn start(_config: Config) -> std::io::Result<Self> {
        Ok(Emulator)
    }
    /// Where it is.
    #[must_use]
    pub fn gateway(&self) -> String {
        String::new()
    }
    /// Ends it.
    pub async fn shutdown(self) -> std::io::Result<()> {
        Ok(())
    }
}
