//! The drive API: rows of files and folders, the account, logging in.

mod account;
mod files;
mod folders;
mod model;
mod thumbnails;
mod trash;

pub use account::{
    Access, Refreshed, SecurityDetails, SpaceLimit, SpaceUsed, UploadLimits, User, access, limits, logout,
    refresh, security_details, space_limit, space_used,
};
pub use files::{
    ExistingFiles, FileEntry, FilesPage, KeptVersion, NewContent, SameObject, create_file, delete_file,
    file_feed, file_meta, file_versions, files_existing, files_in, patch_file, replace_file, restore_version,
};
pub use folders::{
    ExistingFolders, FoldersPage, create_folder, delete_folder, folder_feed, folder_meta, folders_existing,
    folders_in, patch_folder,
};
pub use model::{FileRow, FolderRow, RowStatus};
pub use thumbnails::{ListedFiles, PicturedFile, ThumbnailRow, set_thumbnail, thumbnails_in};
pub use trash::{TRASH_BATCH, TrashPage, Trashed, TrashedFrom, empty_trash, trash, trashed};

/// Rows of one page of a folder's listing; the service takes no more.
pub const LIST_PAGE: u64 = 50;
/// Rows of one page of a change feed; the service takes no more.
pub const FEED_PAGE: u64 = 1000;
/// Names of one question whether they exist; the service takes no more.
pub const EXISTENCE_BATCH: usize = 200;

/// What part of a feed to answer.
#[derive(Clone, Copy, Debug)]
pub struct FeedQuery {
    /// Living rows only, or rows of every status.
    pub live_only: bool,
    /// Rows changed strictly after this many milliseconds since 1970.
    pub after: Option<i64>,
    /// Rows to skip.
    pub offset: u64,
    /// Rows at most.
    pub limit: u64,
    /// Newest first.
    pub descending: bool,
}
