//! What a login leaves behind.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::api::{Basic, Bearer};
use crate::crypto::Mnemonic;
use crate::remote::{Account, Error};
use crate::types::NodeId;

/// All that access to a drive takes. Serialised for the sealed file only; shown by nothing; wiped
/// when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Credentials {
    /// For people.
    pub email: String,
    /// The account's uuid.
    pub account: String,
    /// The drive API's token.
    pub token: String,
    /// The master key, as words.
    pub mnemonic: String,
    /// The network API's user.
    pub bridge_user: String,
    /// What the network API's password is made of.
    pub user_id: String,
    /// Where new files go.
    pub bucket: String,
    /// The root folder's uuid.
    pub root: String,
    /// The gateway's address.
    pub gateway: String,
    /// For machines that nobody attends: what logs in again by itself, once a lost session.
    #[serde(default)]
    pub again: Option<Again>,
}

/// Password and authenticator: whoever has them has the account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Again {
    /// The account's password.
    pub password: String,
    /// The authenticator's secret, where the account has one.
    pub totp_secret: Option<String>,
}

impl Credentials {
    pub(super) fn bearer(&self) -> Bearer {
        Bearer::new(&self.token)
    }

    pub(super) fn basic(&self) -> Basic {
        Basic::new(&self.bridge_user, &self.user_id)
    }

    pub(crate) fn mnemonic(&self) -> Result<Mnemonic, Error> {
        Mnemonic::parse(&self.mnemonic).map_err(|e| {
            Error::Unreadable(format!("the stored mnemonic is damaged: {e}; run `inxtfs login`"))
        })
    }

    pub(crate) fn as_account(&self) -> Account {
        Account {
            id: self.account.clone(),
            email: self.email.clone(),
            root: NodeId(self.root.clone()),
            bucket: self.bucket.clone(),
        }
    }

    /// Whether `other` opens the same drive with the same keys: only then may it take this one's place.
    pub(super) fn same_drive(&self, other: &Credentials) -> bool {
        self.account == other.account
            && self.mnemonic == other.mnemonic
            && self.bucket == other.bucket
            && self.root == other.root
            && self.gateway == other.gateway
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
