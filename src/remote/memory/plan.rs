//! What the account may do.

/// The limits of the account's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of storage. Enforced when an upload starts.
    pub quota: u64,
    /// The largest file. Enforced when one is registered, after its upload.
    pub max_file: Option<u64>,
    /// How many empty files may be created, those in the trash included.
    pub empty_files: u64,
    /// Former contents of pdf, docx, xlsx and csv files, if any are kept.
    pub versions: Option<Versions>,
    /// Bytes taken by other things than the drive (backups).
    pub elsewhere: u64,
}

/// How former contents are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Contents above this size are not kept.
    pub max_file: u64,
    /// How many a file.
    pub count: usize,
}

impl Default for Plan {
    /// A large plan: nothing that a test does not set stands in its way.
    fn default() -> Self {
        Plan {
            quota: 1 << 40,
            max_file: Some(100 << 30),
            empty_files: 10_000,
            versions: Some(Versions { max_file: 20 << 20, count: 20 }),
            elsewhere: 0,
        }
    }
}

/// Whether the service keeps former contents of files with this extension. Lower case only.
pub(super) fn is_versionable(ext: Option<&str>) -> bool {
    matches!(ext, Some("pdf" | "docx" | "xlsx" | "csv"))
}
