//! The object store behind presigned links, as S3 does it.

mod http;
mod read;
mod sign;
mod store;
mod write;

pub(super) use http::serve;
pub(super) use store::{Catalogue, Incomplete, Store, temporary_dir, write_atomically};

use std::time::Duration;

/// The store with the secret its links are signed with.
pub(super) struct Objects {
    pub(super) store: Store,
    pub(super) secret: String,
}

/// What a link is for.
pub(super) enum Purpose<'a> {
    Get,
    Put,
    Part { upload: &'a str, number: u32 },
}

/// The address clients use: scheme and host.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) scheme: &'static str,
    pub(super) host: String,
}

impl Objects {
    /// A link for one purpose, good for `life`.
    pub(super) fn link(
        &self,
        base: &Base,
        key: &str,
        purpose: &Purpose<'_>,
        now_ms: i64,
        life: Duration,
    ) -> String {
        let (method, query) = match purpose {
            Purpose::Get => ("GET", vec![("x-id", "GetObject".to_owned())]),
            Purpose::Put => ("PUT", vec![("x-id", "PutObject".to_owned())]),
            Purpose::Part { upload, number } => (
                "PUT",
                vec![
                    ("partNumber", number.to_string()),
                    ("uploadId", (*upload).to_owned()),
                    ("x-id", "UploadPart".to_owned()),
                ],
            ),
        };
        let path = format!("/shards/{key}");
        let grant = sign::Grant { method, host: &base.host, path: &path, query: &query };
        let signed = sign::sign(&self.secret, &grant, now_ms, life);
        format!("{}://{}{signed}", base.scheme, base.host)
    }
}
