//! Accounts: who there is, on which plan, and what the plan allows.

use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::emulator::secret;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The plans told apart by their limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// 100 MiB a file, no empty files, no versions, 2 days of trash, no command line clients.
    Free,
    /// The old lifetime plans: 10 GiB a file, no empty files, no versions.
    Legacy200gb,
    /// 10 GiB a file, no versions.
    Essential,
    /// 50 GiB a file, versions of files up to 10 MiB.
    Premium,
    /// 100 GiB a file, versions of files up to 20 MiB; the one with command line access.
    Ultimate,
}

/// What a plan keeps of replaced contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versioning {
    pub max_file_size: u64,
    pub retention_days: i64,
    pub max_versions: usize,
}

impl Tier {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Legacy200gb => "legacy200gb",
            Self::Essential => "essential",
            Self::Premium => "premium",
            Self::Ultimate => "ultimate",
        }
    }

    pub(crate) fn id(self) -> Uuid {
        seeded_uuid("tier", self.name())
    }

    fn max_upload(self) -> u64 {
        match self {
            Self::Free => 100 * MIB,
            Self::Legacy200gb | Self::Essential => 10 * GIB,
            Self::Premium => 50 * GIB,
            Self::Ultimate => 100 * GIB,
        }
    }

    fn max_empty_files(self) -> usize {
        match self {
            Self::Free | Self::Legacy200gb => 0,
            Self::Essential | Self::Premium | Self::Ultimate => 10_000,
        }
    }

    pub(crate) fn versioning(self) -> Option<Versioning> {
        match self {
            Self::Premium => {
                Some(Versioning { max_file_size: 10 * MIB, retention_days: 15, max_versions: 10 })
            }
            Self::Ultimate => {
                Some(Versioning { max_file_size: 20 * MIB, retention_days: 30, max_versions: 20 })
            }
            _ => None,
        }
    }

    pub(crate) fn trash_days(self) -> i64 {
        match self {
            Self::Free | Self::Legacy200gb => 2,
            Self::Essential => 7,
            Self::Premium => 15,
            Self::Ultimate => 30,
        }
    }

    fn max_space(self) -> u64 {
        match self {
            Self::Free => GIB,
            Self::Legacy200gb => 200 * GIB,
            Self::Essential => 1024 * GIB,
            Self::Premium => 3 * 1024 * GIB,
            Self::Ultimate => 5 * 1024 * GIB,
        }
    }
}

/// An account to create.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountSpec {
    /// Login name; also the user name of the network API.
    pub email: String,
    /// Password in the clear.
    pub password: String,
    /// The 24 words all file keys are derived from.
    pub mnemonic: String,
    /// Decides sizes, versions, trash and access.
    pub plan: Tier,
    /// Quota in bytes, if it is not the plan's.
    pub max_space: Option<u64>,
    /// Largest file in bytes, if it is not the plan's.
    #[serde(default)]
    pub max_upload: Option<u64>,
    /// Number of empty files, if it is not the plan's.
    #[serde(default)]
    pub max_empty_files: Option<usize>,
    /// Buckets beside the drive's, such as those of backups.
    #[serde(default)]
    pub more_buckets: Vec<String>,
    /// Base32 secret; present means that login asks for a code.
    pub totp_secret: Option<String>,
    /// Access as the official command line client, if it is not the plan's.
    pub cli_access: Option<bool>,
    /// Access as any other client (the service calls them all `rclone`), if it is not the plan's.
    pub rclone_access: Option<bool>,
    /// Wrong logins so far; ten block the account.
    pub failed_logins: u32,
    /// Whether the root starts with the folders `Family` and `Personal`, as a real new account does.
    pub welcome_folders: bool,
}

impl fmt::Debug for AccountSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccountSpec")
            .field("email", &self.email)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

impl AccountSpec {
    /// An account with everything else derived from the name, so that it is the same on every run.
    pub fn new(email: &str, password: &str, plan: Tier) -> Self {
        let entropy = secret::sha256(&format!("mnemonic of {email}"));
        let mnemonic = bip39::Mnemonic::from_entropy(&entropy).map(|words| words.to_string());
        Self {
            email: email.to_owned(),
            password: password.to_owned(),
            mnemonic: mnemonic.unwrap_or_default(),
            plan,
            max_space: None,
            max_upload: None,
            max_empty_files: None,
            more_buckets: Vec::new(),
            totp_secret: None,
            cli_access: None,
            rclone_access: None,
            failed_logins: 0,
            welcome_folders: true,
        }
    }

    /// The accounts of `inxtfs demo`: one for each thing that can differ.
    pub fn demo() -> Vec<Self> {
        let account = |name: &str, plan| Self::new(&format!("{name}@inxtfs.local"), "demo", plan);
        vec![
            account("demo", Tier::Ultimate),
            Self { max_space: Some(10 * MIB), ..account("small", Tier::Ultimate) },
            account("free", Tier::Free),
            Self {
                cli_access: Some(true),
                rclone_access: Some(true),
                ..account("essential", Tier::Essential)
            },
            Self { totp_secret: Some("JBSWY3DPEHPK3PXP".to_owned()), ..account("tfa", Tier::Ultimate) },
            Self { failed_logins: 10, ..account("blocked", Tier::Ultimate) },
        ]
    }
}

/// A uuid v4 that is the same for the same words.
pub(crate) fn seeded_uuid(what: &str, name: &str) -> Uuid {
    let hash = secret::sha256(&format!("{what} of {name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// An account as it stands.
#[derive(Debug)]
pub(crate) struct Account {
    pub index: u32,
    pub spec: AccountSpec,
    pub uuid: Uuid,
    pub root: Uuid,
    pub bucket: String,
    /// Looks like a bcrypt hash; its SHA-256 is the password of the network API.
    pub user_id: String,
    pub created: i64,
    pub password_changed: Option<i64>,
    /// Usage as last computed, and when. Only creating a file drops it.
    pub usage: Option<(i64, u64)>,
    hash: OnceLock<String>,
    sealed_mnemonic: OnceLock<String>,
}

impl Account {
    pub(crate) fn new(index: u32, spec: AccountSpec, created: i64) -> Self {
        let email = spec.email.clone();
        let bucket = hex::encode(&secret::sha256(&format!("bucket of {email}"))[..12]);
        let alphabet = hex::encode(secret::sha256(&format!("user id of {email}")));
        Self {
            index,
            uuid: seeded_uuid("account", &email),
            root: seeded_uuid("root", &email),
            bucket,
            user_id: format!("$2a$08${}", &alphabet[..53]),
            created,
            password_changed: None,
            usage: None,
            hash: OnceLock::new(),
            sealed_mnemonic: OnceLock::new(),
            spec,
        }
    }

    pub(crate) fn salt(&self) -> Vec<u8> {
        secret::sha256(&format!("salt of {}", self.spec.email))[..16].to_vec()
    }

    pub(crate) fn password_hash(&self) -> &str {
        self.hash.get_or_init(|| secret::password_hash(&self.spec.password, &self.salt()))
    }

    /// The mnemonic under the plain password, the same blob in every answer.
    pub(crate) fn sealed_mnemonic(&self) -> &str {
        self.sealed_mnemonic.get_or_init(|| {
            let seed = secret::sha256(&format!("mnemonic salt of {}", self.spec.email));
            let mut salt = [0; 8];
            salt.copy_from_slice(&seed[..8]);
            secret::seal(&self.spec.mnemonic, &self.spec.password, salt)
        })
    }

    pub(crate) fn set_password(&mut self, password: &str, now: i64) {
        password.clone_into(&mut self.spec.password);
        self.password_changed = Some(now);
        self.hash = OnceLock::new();
        self.sealed_mnemonic = OnceLock::new();
    }

    pub(crate) fn max_space(&self) -> u64 {
        self.spec.max_space.unwrap_or(self.spec.plan.max_space())
    }

    pub(crate) fn max_upload(&self) -> u64 {
        self.spec.max_upload.unwrap_or(self.spec.plan.max_upload())
    }

    /// How many empty files may exist.
    pub(crate) fn max_empty_files(&self) -> usize {
        self.spec.max_empty_files.unwrap_or(self.spec.plan.max_empty_files())
    }

    pub(crate) fn owns(&self, bucket: &str) -> bool {
        self.bucket == bucket || self.spec.more_buckets.iter().any(|other| other == bucket)
    }

    pub(crate) fn cli_access(&self) -> bool {
        self.spec.cli_access.unwrap_or(self.spec.plan == Tier::Ultimate)
    }

    pub(crate) fn rclone_access(&self) -> bool {
        self.spec.rclone_access.unwrap_or(self.spec.plan == Tier::Ultimate)
    }
}

/// What the network API must know of an account.
#[derive(Clone)]
pub struct NetAccount {
    /// The account.
    pub uuid: String,
    /// Its network password is the hex SHA-256 of this.
    pub user_id: String,
    /// Its network user name.
    pub bridge_user: String,
    /// The bucket of its drive.
    pub bucket: String,
    /// Quota in bytes.
    pub max_space: u64,
}

impl fmt::Debug for NetAccount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NetAccount").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

/// An account with all a test needs to log in and to check what it finds.
#[derive(Clone, Serialize)]
pub struct AccountSummary {
    /// Login name.
    pub email: String,
    /// Password in the clear.
    pub password: String,
    /// Base32 secret of the second factor.
    pub totp_secret: Option<String>,
    /// Plan.
    pub plan: Tier,
    /// The 24 words.
    pub mnemonic: String,
    /// Account.
    pub uuid: String,
    /// Bucket of the drive.
    pub bucket: String,
    /// Root folder.
    pub root: String,
}

impl fmt::Debug for AccountSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccountSummary").field("email", &self.email).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_accounts_are_the_same_on_every_run_and_have_valid_words() {
        for (one, two) in AccountSpec::demo().into_iter().zip(AccountSpec::demo()) {
            assert!(bip39::Mnemonic::parse(&one.mnemonic).is_ok());
            assert_eq!(one.mnemonic.split(' ').count(), 24);
            let (one, two) = (Account::new(0, one, 0), Account::new(0, two, 0));
            assert_eq!((one.uuid, &one.bucket, one.root), (two.uuid, &two.bucket, two.root));
            assert_eq!(one.bucket.len(), 24);
            assert_eq!(one.user_id.len(), 60);
        }
    }

    #[test]
    fn debug_output_hides_secrets() {
        let spec = AccountSpec::new("a@b", "hunter2", Tier::Free);
        let text = format!("{spec:?}");
        assert!(!text.contains("hunter2") && !text.contains(spec.mnemonic.split(' ').next().unwrap()));
    }
}
