//! Stub of the other half.
use parking_lot::Mutex;

/// Stub.
#[derive(Default)]
pub struct Hub {
    published: Mutex<Vec<(String, Option<String>, String, serde_json::Value)>>,
}

impl Hub {
    /// Stub.
    pub fn publish(
        &self,
        account_uuid: &str,
        client_id: Option<&str>,
        event: &str,
        payload: serde_json::Value,
    ) {
        self.published.lock().push((account_uuid.into(), client_id.map(Into::into), event.into(), payload));
    }
}
