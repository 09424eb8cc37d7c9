//! Credentials that end with the test.

use inxtfs::remote::session::{Credentials, Secrets, SecretsError};
use parking_lot::Mutex;

pub struct InMemory(Mutex<Option<Credentials>>);

impl InMemory {
    pub fn of(credentials: Credentials) -> Self {
        InMemory(Mutex::new(Some(credentials)))
    }
}

impl Secrets for InMemory {
    fn load(&self) -> Result<Option<Credentials>, SecretsError> {
        Ok(self.0.lock().clone())
    }
    fn save(&self, credentials: &Credentials) -> Result<(), SecretsError> {
        *self.0.lock() = Some(credentials.clone());
        Ok(())
    }
    fn forget(&self) -> Result<(), SecretsError> {
        *self.0.lock() = None;
        Ok(())
    }
}
