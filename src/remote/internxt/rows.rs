//! From the service's rows to ours.

use crate::api::drive::{FileRow, FolderRow, RowStatus};
use crate::names::RemoteName;
use crate::remote::{Row, Status};
use crate::types::{Kind, NodeId, Timestamp, Version};

/// The one way of encrypting this program knows.
pub(super) const KNOWN_ENCRYPTION: &str = "03-aes";

pub(super) fn file(row: FileRow) -> Row {
    let filled = |s: &Option<String>| s.clone().filter(|s| !s.is_empty());
    let size = row.size.unwrap_or(0);
    let object = filled(&row.file_id).filter(|_| size > 0);
    let content = filled(&row.bucket).zip(object).map(|(bucket, object)| Version { bucket, object });
    let known = row.encrypt_version.as_deref().is_none_or(|v| v == KNOWN_ENCRYPTION);
    Row {
        id: NodeId(row.uuid),
        parent: filled(&row.folder_uuid).map(NodeId),
        kind: Kind::File,
        name: RemoteName::from_columns(row.plain_name.as_deref().unwrap_or_default(), row.ext.as_deref()),
        status: status(row.status, None, None),
        readable: known && row.size.is_some() && (size == 0) == content.is_none(),
        bucket: filled(&row.bucket),
        content,
        size,
        created: Timestamp::from_millis(row.creation_time),
        modified: Timestamp::from_millis(row.modification_time),
        updated: Timestamp::from_millis(row.updated_at),
    }
}

pub(super) fn folder(row: FolderRow) -> Row {
    Row {
        id: NodeId(row.uuid),
        parent: row.parent_uuid.filter(|p| !p.is_empty()).map(NodeId),
        kind: Kind::Folder,
        name: RemoteName::whole(row.plain_name.as_deref().unwrap_or_default()),
        status: status(row.status, row.deleted, row.removed),
        bucket: None,
        content: None,
        size: 0,
        readable: true,
        created: Timestamp::from_millis(row.creation_time),
        modified: Timestamp::from_millis(row.modification_time),
        updated: Timestamp::from_millis(row.updated_at),
    }
}

/// The flags count only without a status: they stay set after a restore.
fn status(status: Option<RowStatus>, deleted: Option<bool>, removed: Option<bool>) -> Status {
    match (status, removed, deleted) {
        (Some(RowStatus::Exists), ..) => Status::Exists,
        // A word we do not know hides the row, which can be undone.
        (Some(RowStatus::Trashed | RowStatus::Unknown), ..) => Status::Trashed,
        (Some(RowStatus::Deleted), ..) | (None, Some(true), _) => Status::Deleted,
        (None, _, Some(true)) => Status::Trashed,
        (None, ..) => Status::Exists,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Row {
        file(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_recorded_file_is_read() {
        let row = of(r#"{"id":1,"fileId":"6b0240d316b232cd334cae08","folderId":4,"folder":null,"name":"k1",
            "type":"bin","size":"1024","bucket":"6b023f4716b232cd334cadf7","encryptVersion":"03-aes","deleted":true,
            "creationTime":"2026-11-22T01:09:37.819Z","modificationTime":"2026-11-22T01:09:37.819Z",
            "createdAt":"2026-11-22T01:09:39.676Z","updatedAt":"2026-11-22T01:09:39.676Z",
            "folderUuid":"745a13af-75e0-4fbd-8386-b9a12eb790a1","uuid":"06c40ffe-5419-468e-a01e-5c046aec4ef6",
            "plainName":"k1","removed":false,"removedAt":null,"status":"EXISTS","surprise":[1]}"#);
        assert_eq!(row.name.display(), "k1.bin");
        assert_eq!((row.size, row.readable, row.status), (1024, true, Status::Exists));
        assert_eq!(row.content.unwrap().object, "6b0240d316b232cd334cae08");
        assert_eq!(row.modified, Timestamp::from_millis(1_795_309_777_819));
    }

    #[test]
    fn odd_files_are_listed_but_not_read() {
        let row = of(r#"{"uuid":"u","plainName":"x","type":"","size":"12","fileId":null,"bucket":"b"}"#);
        assert!(!row.readable && row.content.is_none() && row.name.ext.is_none());
        assert!(
            !of(r#"{"uuid":"u","size":"5","fileId":"f","bucket":"b","encryptVersion":"04-new"}"#).readable
        );
        assert!(!of(r#"{"uuid":"u","size":{},"fileId":"f","bucket":"b"}"#).readable);
        let empty = of(r#"{"uuid":"u","size":0,"fileId":"f","bucket":"b","status":"LIMBO"}"#);
        assert!(empty.readable && empty.content.is_none());
        assert_eq!(empty.status, Status::Trashed);
        assert!(serde_json::from_str::<FileRow>("{}").is_err());
    }

    #[test]
    fn a_folders_flags_count_only_without_a_status() {
        let of = |json: &str| folder(serde_json::from_str(json).unwrap()).status;
        assert_eq!(of(r#"{"uuid":"u","status":"EXISTS","deleted":true,"removed":true}"#), Status::Exists);
        assert_eq!(of(r#"{"uuid":"u","deleted":true,"removed":false}"#), Status::Trashed);
        assert_eq!(of(r#"{"uuid":"u","deleted":true,"removed":true}"#), Status::Deleted);
        assert_eq!(of(r#"{"uuid":"u"}"#), Status::Exists);
    }
}
