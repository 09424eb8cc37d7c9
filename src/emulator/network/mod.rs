//! Stub of the other half.
use parking_lot::Mutex;

/// Stub.
#[derive(Default)]
pub struct Network {
    deleted: Mutex<Vec<(String, String)>>,
}

impl Network {
    /// Stub.
    pub fn delete_object(&self, bucket: &str, object: &str) {
        self.deleted.lock().push((bucket.into(), object.into()));
    }
    /// Stub.
    pub fn deleted(&self) -> Vec<(String, String)> {
        self.deleted.lock().clone()
    }
}
