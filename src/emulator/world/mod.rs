//! The database of the service: accounts and rows, in memory, optionally kept in a directory.

pub(crate) mod account;
pub(crate) mod clock;
mod collate;
mod decay;
mod fill;
mod hooks;
mod persist;
pub(crate) mod rows;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use uuid::Uuid;

use account::{Account, seeded_uuid};
pub use account::{AccountSpec, AccountSummary, NetAccount, Tier};
use rows::{FileRow, FolderRow, Row, Status, VersionRow};
use table::{Change, Replicated, Tables};

/// All the state behind the drive API. One lock; no request holds it over an await.
#[derive(Debug)]
pub struct World {
    inner: Mutex<Inner>,
    dir: Option<PathBuf>,
    /// Held while the file is written, so that whoever asks for a save waits for the one under way.
    saving: Mutex<()>,
}

/// The state itself.
#[derive(Debug)]
pub(crate) struct Inner {
    pub accounts: Vec<Account>,
    by_email: HashMap<String, u32>,
    by_uuid: HashMap<String, u32>,
    pub rows: Replicated,
    /// Newest first, by file.
    pub versions: HashMap<Uuid, Vec<VersionRow>>,
    /// Bytes of kept versions, by account.
    pub version_bytes: HashMap<u32, u64>,
    pub thumbnails: HashMap<Uuid, Vec<Value>>,
    /// Logged out tokens by `jti`, with their expiry in seconds.
    pub blacklist: HashMap<String, i64>,
    next_file: u64,
    next_folder: u64,
    offset: i64,
    last_stamp: i64,
    last_sweep: i64,
    check_window: Duration,
    cascade_delay: Duration,
    cascades: VecDeque<decay::Cascade>,
    purges: Vec<decay::Purge>,
    dirty: bool,
}

/// Saturating microseconds of a duration.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn real_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

impl World {
    /// A fresh world in memory; the demo accounts unless others are given.
    pub fn new(accounts: Vec<AccountSpec>) -> Arc<Self> {
        let mut inner = Inner::empty();
        inner.add_accounts(accounts);
        Arc::new(Self { inner: Mutex::new(inner), dir: None, saving: Mutex::new(()) })
    }

    /// A world kept in a directory. Accounts that are not in it yet are added.
    pub fn open(dir: &Path, accounts: Vec<AccountSpec>) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let mut inner = persist::load(dir)?;
        inner.add_accounts(accounts);
        Ok(Arc::new(Self { inner: Mutex::new(inner), dir: Some(dir.to_owned()), saving: Mutex::new(()) }))
    }

    /// Writes the state to its directory if it has one and anything changed.
    pub fn save(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let _one_at_a_time = self.saving.lock();
        let mut inner = self.inner.lock();
        if !std::mem::take(&mut inner.dirty) {
            return Ok(());
        }
        let snapshot = persist::snapshot(&inner);
        drop(inner);
        persist::write(dir, &snapshot).inspect_err(|_| self.inner.lock().dirty = true)
    }

    /// The account behind a user name of the network API.
    pub fn account_by_bridge_user(&self, user: &str) -> Option<NetAccount> {
        let inner = self.inner.lock();
        let account = inner.account_by_email(user)?;
        Some(NetAccount {
            uuid: account.uuid.to_string(),
            user_id: account.user_id.clone(),
            bridge_user: account.spec.email.clone(),
            bucket: account.bucket.clone(),
            max_space: account.max_space(),
        })
    }

    /// The account a bucket belongs to.
    pub fn bucket_owner(&self, bucket: &str) -> Option<String> {
        let inner = self.inner.lock();
        inner.accounts.iter().find(|account| account.owns(bucket)).map(|account| account.uuid.to_string())
    }

    /// A token for an account without a login, for tests.
    pub fn issue_token(&self, email: &str, life: Duration) -> Option<String> {
        let inner = self.inner.lock();
        inner.account_by_email(email).map(|account| crate::emulator::auth::issue(&inner, account, life))
    }

    /// The account a token of the drive API is good for.
    pub fn account_of_token(&self, token: &str) -> Option<String> {
        let inner = self.inner.lock();
        let (index, _) = crate::emulator::auth::holder(&inner, token)?;
        Some(inner.account(index).uuid.to_string())
    }

    /// All accounts with their secrets, for tests and the line `inxtfs emulator` prints.
    pub fn accounts(&self) -> Vec<AccountSummary> {
        let inner = self.inner.lock();
        let summary = |account: &Account| AccountSummary {
            email: account.spec.email.clone(),
            password: account.spec.password.clone(),
            totp_secret: account.spec.totp_secret.clone(),
            plan: account.spec.plan,
            mnemonic: account.spec.mnemonic.clone(),
            uuid: account.uuid.to_string(),
            bucket: account.bucket.clone(),
            root: account.root.to_string(),
        };
        inner.accounts.iter().map(summary).collect()
    }

    /// The clock of the service.
    pub fn now(&self) -> SystemTime {
        let micros = self.inner.lock().now();
        UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.inner.lock().offset += micros(by);
    }

    /// Changes a password as the web application does: all tokens issued before become invalid.
    pub fn change_password(&self, email: &str, password: &str) {
        let mut inner = self.inner.lock();
        let now = inner.stamp();
        if let Some(index) = inner.by_email.get(email).copied() {
            inner.account_mut(index).set_password(password, now);
            inner.dirty = true;
        }
    }

    /// Lets creates wait this long between the check for the name and the insert, so that concurrent
    /// ones race (default: no wait).
    pub fn set_check_window(&self, window: Duration) {
        self.inner.lock().check_window = window;
    }

    /// Delays the deletion of what a deleted folder holds, by this much for every level. The default
    /// of zero is the database trigger of the recordings, which cascades at once.
    pub fn set_cascade_delay(&self, delay: Duration) {
        self.inner.lock().cascade_delay = delay;
    }

    /// Whether there is a directory to save to.
    pub(crate) fn is_kept(&self) -> bool {
        self.dir.is_some()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    fn empty() -> Self {
        Self {
            accounts: Vec::new(),
            by_email: HashMap::new(),
            by_uuid: HashMap::new(),
            rows: Replicated::default(),
            versions: HashMap::new(),
            version_bytes: HashMap::new(),
            thumbnails: HashMap::new(),
            blacklist: HashMap::new(),
            next_file: 1,
            next_folder: 1,
            offset: 0,
            last_stamp: 0,
            last_sweep: real_micros(),
            check_window: Duration::ZERO,
            cascade_delay: Duration::ZERO,
            cascades: VecDeque::new(),
            purges: Vec::new(),
            dirty: false,
        }
    }

    fn add_accounts(&mut self, specs: Vec<AccountSpec>) {
        let specs = if specs.is_empty() && self.accounts.is_empty() { AccountSpec::demo() } else { specs };
        for spec in specs {
            if self.by_email.contains_key(&spec.email.to_lowercase()) {
                continue;
            }
            let now = self.stamp();
            let index = self.insert_account(spec, now);
            self.found(index, now);
        }
    }

    fn insert_account(&mut self, spec: AccountSpec, created: i64) -> u32 {
        let index = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let account = Account::new(index, spec, created);
        self.by_email.insert(account.spec.email.to_lowercase(), index);
        self.by_uuid.insert(account.uuid.to_string(), index);
        self.accounts.push(account);
        index
    }

    /// Gives a new account its root and the two folders the service puts there.
    fn found(&mut self, index: u32, now: i64) {
        let account = self.account(index);
        let (root, bucket) = (account.root, account.bucket.clone());
        let (email, welcome) = (account.spec.email.clone(), account.spec.welcome_folders);
        let root_id = self.next_folder_id();
        let mut row = FolderRow {
            id: root_id,
            uuid: root,
            account: index,
            parent: None,
            parent_id: None,
            plain_name: "Drive".to_owned(),
            name_seed: root_id,
            bucket: Some(bucket),
            status: Status::Exists,
            trashed: None,
            removed: None,
            creation: now,
            modification: now,
            created: now,
            updated: now,
        };
        self.put_folder(row.clone());
        for name in ["Family", "Personal"].into_iter().filter(|_| welcome) {
            row.id = self.next_folder_id();
            row.uuid = seeded_uuid(name, &email);
            row.parent = Some(root);
            row.parent_id = Some(root_id);
            name.clone_into(&mut row.plain_name);
            row.updated = self.stamp();
            row.name_seed = row.id;
            row.bucket = None;
            self.put_folder(row.clone());
        }
    }

    /// The clock, in microseconds.
    pub(crate) fn now(&self) -> i64 {
        real_micros() + self.offset
    }

    /// A time for one statement: later than every earlier one.
    pub(crate) fn stamp(&mut self) -> i64 {
        self.last_stamp = self.now().max(self.last_stamp + 1);
        self.last_stamp
    }

    /// Makes the next stamp the one after this, if that is in the future.
    #[cfg(test)]
    pub(crate) fn stamp_after(&mut self, last: i64) {
        self.last_stamp = last;
    }

    pub(crate) fn account(&self, index: u32) -> &Account {
        &self.accounts[index as usize]
    }

    pub(crate) fn account_mut(&mut self, index: u32) -> &mut Account {
        &mut self.accounts[index as usize]
    }

    pub(crate) fn account_by_email(&self, email: &str) -> Option<&Account> {
        self.by_email.get(&email.to_lowercase()).map(|index| self.account(*index))
    }

    pub(crate) fn account_by_uuid(&self, uuid: &str) -> Option<&Account> {
        self.by_uuid.get(uuid).map(|index| self.account(*index))
    }

    /// What a read sees, `lag` behind.
    pub(crate) fn view(&mut self, lag: Duration) -> &mut Tables {
        let now = self.now().max(self.last_stamp);
        self.rows.view(now, micros(lag))
    }

    pub(crate) fn primary(&self) -> &Tables {
        &self.rows.primary
    }

    pub(crate) fn next_file_id(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file - 1
    }

    pub(crate) fn next_folder_id(&mut self) -> u64 {
        self.next_folder += 1;
        self.next_folder - 1
    }

    pub(crate) fn put_file(&mut self, row: FileRow) {
        self.dirty = true;
        let at = self.now().max(self.last_stamp);
        self.rows.write(at, Change::File(Arc::new(row)));
    }

    pub(crate) fn put_folder(&mut self, row: FolderRow) {
        self.dirty = true;
        let at = self.now().max(self.last_stamp);
        self.rows.write(at, Change::Folder(Arc::new(row)));
    }

    pub(crate) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    pub(crate) fn check_window(&self) -> Duration {
        self.check_window
    }

    /// Whether the unique index on live files would refuse this row. NULL types are all distinct.
    pub(crate) fn file_taken(&self, folder: Uuid, name: &str, kind: Option<&str>, but: Option<Uuid>) -> bool {
        kind.is_some()
            && self.primary().files.live(folder, name, kind).iter().any(|row| Some(row.uuid) != but)
    }

    /// Whether the unique index on live folders would refuse this row.
    pub(crate) fn folder_taken(&self, parent: Uuid, name: &str, but: Option<Uuid>) -> bool {
        self.primary().folders.live(parent, name, None).iter().any(|row| Some(row.uuid()) != but)
    }

    /// Bytes in use: files that are not deleted and every kept version, also of deleted files.
    pub(crate) fn used(&self, account: u32) -> u64 {
        self.primary().files.bytes(account) + self.version_bytes.get(&account).copied().unwrap_or(0)
    }
}
