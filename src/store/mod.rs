//! Local persistent state: the mirror of the drive and the sealed blocks of its content.

/// A cache directory, opened and owned by this process.
pub struct Store {}
