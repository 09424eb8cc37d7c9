//! Internxt's wire: one HTTP core, and the typed requests of the drive, network and storage
//! services. No policy: what to do about a failure is the caller's.
//!
//! The three services have three kinds of credentials, and the types keep them apart: a
//! [`Request`] names its [`Service`], the service names its credentials, and [`Storage`] has a
//! client of its own that knows none. Answers are untrusted: bounded in size, lenient in form.

mod budget;
pub mod drive;
mod error;
pub mod events;
mod gateway;
mod http;
mod lanes;
pub mod network;
mod pace;
mod request;
mod signed_url;
mod storage;
mod wire;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;

pub use budget::{Budget, Held};
pub use error::{Answer, Class, Error};
pub use gateway::{Gateway, GatewayError};
pub use http::{Http, Probe, Retry, Tuning, Verdict};
pub use lanes::{Gate, Hurry, Lane, Pass};
pub use pace::{Bandwidth, Throttle, Traffic};
pub use request::{Basic, Bearer, Drive, Network, Public, Request, Service};
pub use signed_url::SignedUrl;
pub use storage::{Download, Storage};

/// What the calls of this room return.
pub type Result<T> = std::result::Result<T, Error>;

/// Who we say we are; the service echoes `id` in its announcements of our own changes.
#[derive(Clone, Debug)]
pub struct ClientId(
    /// Random, one a mount.
    pub String,
);

impl ClientId {
    /// The name sent as `internxt-client`.
    pub const NAME: &'static str = "inxtfs";

    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        ClientId(uuid::Uuid::new_v4().to_string())
    }
}
