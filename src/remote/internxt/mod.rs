//! The service as a [`Remote`](super::Remote).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Result, session::Secrets};
use crate::api::Gateway;

/// How to connect.
pub struct Options {
    /// Where.
    pub gateway: Gateway,
}

/// The service.
pub struct Internxt;

impl Internxt {
    /// Needs no network.
    pub fn connect(_secrets: Arc<dyn Secrets>, _options: Options) -> Result<Internxt> {
        Err(super::Error::SessionLost)
    }
    /// The seed.
    #[must_use]
    pub fn account_seed(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new([0; 64])
    }
}
