//! The log of calls.

use std::ops::Range;

use crate::remote::Method;
use crate::types::{NodeId, Urgency};

/// How many calls are remembered.
pub(super) const LOG_MAX: usize = 100_000;

/// A call as it came in, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The client's name.
    pub client: String,
    /// Which one.
    pub method: Method,
    /// The row or folder it was about; for `create` and `mkdir` the parent. Trash logs one call an item.
    pub id: Option<NodeId>,
    /// The display name it carried.
    pub name: Option<String>,
    /// The object it was about.
    pub object: Option<String>,
    /// Which bytes a read asked for, and who waited for them.
    pub range: Option<(Range<u64>, Urgency)>,
}

impl Call {
    pub(super) fn new(client: &str, method: Method) -> Self {
        Call { client: client.to_owned(), method, id: None, name: None, object: None, range: None }
    }

    pub(super) fn id(mut self, id: &NodeId) -> Self {
        self.id = Some(id.clone());
        self
    }

    pub(super) fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn range(mut self, range: &Range<u64>, urgency: Urgency) -> Self {
        self.range = Some((range.clone(), urgency));
        self
    }

    pub(super) fn object(mut self, object: Option<&crate::types::Version>) -> Self {
        self.object = object.map(|v| v.object.clone());
        self
    }
}
