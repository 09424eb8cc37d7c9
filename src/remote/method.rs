//! The calls of [`super::Remote`] by name, for logs and plans of failure.

/// One of the calls.
#[allow(missing_docs)] // each is the method of that name
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Method {
    List,
    Changes,
    Newest,
    Stat,
    Find,
    Read,
    Verify,
    Put,
    Discard,
    Create,
    Replace,
    Mkdir,
    Relocate,
    Trash,
    Delete,
    Usage,
    Limits,
    Events,
    Prepare,
    StampAt,
    Versions,
    Trashed,
}

impl Method {
    /// Every one.
    pub const ALL: [Method; 22] = [
        Method::List,
        Method::Changes,
        Method::Newest,
        Method::Stat,
        Method::Find,
        Method::Read,
        Method::Verify,
        Method::Put,
        Method::Discard,
        Method::Create,
        Method::Replace,
        Method::Mkdir,
        Method::Relocate,
        Method::Trash,
        Method::Delete,
        Method::Usage,
        Method::Limits,
        Method::Events,
        Method::Prepare,
        Method::StampAt,
        Method::Versions,
        Method::Trashed,
    ];

    /// Whether it changes something in the cloud: a lost answer is then ambiguous.
    #[must_use]
    pub fn mutates(self) -> bool {
        use Method as M;
        matches!(
            self,
            M::Put | M::Discard | M::Create | M::Replace | M::Mkdir | M::Relocate | M::Trash | M::Delete
        )
    }
}
