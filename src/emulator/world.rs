//! Accounts and the drive's rows.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use parking_lot::Mutex;

/// An account to be made.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Login name.
    pub email: String,
    /// Network quota.
    pub max_space: Option<u64>,
}
/// A plan.
#[derive(Clone, Copy, Debug)]
pub enum Tier {
    /// All of it.
    Ultimate,
}
impl AccountSpec {
    /// Stub.
    pub fn new(email: &str, _password: &str, _plan: Tier) -> Self {
        Self { email: email.to_owned(), max_space: None }
    }
    /// Stub.
    pub fn demo() -> Vec<Self> {
        vec![Self::new("demo@inxtfs.local", "demo", Tier::Ultimate)]
    }
}
/// What the network knows of an account.
#[derive(Clone, Debug)]
pub struct NetAccount {
    /// Account uuid.
    pub uuid: String,
    /// Network password, unhashed.
    pub user_id: String,
    /// Network user name.
    pub bridge_user: String,
    /// Its bucket.
    pub bucket: String,
    /// Quota.
    pub max_space: u64,
}
/// For people and tests.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AccountSummary {
    /// Login name.
    pub email: String,
    /// Account uuid.
    pub uuid: String,
    /// Its bucket.
    pub bucket: String,
}
/// Stub.
pub struct World {
    accounts: Vec<NetAccount>,
    ahead: Mutex<Duration>,
}
impl World {
    /// Stub.
    pub fn new(accounts: Vec<AccountSpec>) -> Arc<World> {
        let make = |(i, a): (usize, AccountSpec)| NetAccount {
            uuid: format!("00000000-0000-4000-8000-{i:012}"),
            user_id: format!("$2a$08${i:053}"),
            bridge_user: a.email,
            bucket: format!("6b023f4716b232cd334c{i:04}"),
            max_space: a.max_space.unwrap_or(10 << 30),
        };
        let accounts = accounts.into_iter().enumerate().map(make).collect();
        Arc::new(World { accounts, ahead: Mutex::new(Duration::ZERO) })
    }
    /// Stub.
    pub fn open(dir: &Path, accounts: Vec<AccountSpec>) -> io::Result<Arc<World>> {
        fs::create_dir_all(dir)?;
        Ok(Self::new(accounts))
    }
    /// Stub.
    pub fn save(&self) -> io::Result<()> {
        Ok(())
    }
    /// Stub.
    pub fn account_by_bridge_user(&self, user: &str) -> Option<NetAccount> {
        self.accounts.iter().find(|a| a.bridge_user == user).cloned()
    }
    /// Stub.
    pub fn bucket_owner(&self, bucket: &str) -> Option<String> {
        self.accounts.iter().find(|a| a.bucket == bucket).map(|a| a.uuid.clone())
    }
    /// Stub.
    pub fn accounts(&self) -> Vec<AccountSummary> {
        let brief = |a: &NetAccount| AccountSummary {
            email: a.bridge_user.clone(),
            uuid: a.uuid.clone(),
            bucket: a.bucket.clone(),
        };
        self.accounts.iter().map(brief).collect()
    }
    /// Stub.
    pub fn account_of_token(&self, jwt: &str) -> Option<String> {
        self.accounts.iter().find(|a| jwt == format!("token-{}", a.uuid)).map(|a| a.uuid.clone())
    }
    /// Stub.
    pub fn now(&self) -> SystemTime {
        SystemTime::now() + *self.ahead.lock()
    }
    /// Stub.
    pub fn advance(&self, by: Duration) {
        *self.ahead.lock() += by;
    }
}
