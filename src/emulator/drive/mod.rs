//! The drive API.
use std::sync::Arc;

use super::Shared;

/// Stub.
pub fn router(_state: Arc<Shared>) -> axum::Router {
    axum::Router::new().route("/drive/health", axum::routing::get(|| async { "ok" }))
}
