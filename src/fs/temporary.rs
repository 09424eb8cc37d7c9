//! Names that programs give to what they mean to remove or rename soon: locks, journals, partial downloads, backups.
//!
//! A file with such a name is sent later than others ([`Config::temporary_delay`](super::Config::temporary_delay)), and
//! that is all: whatever rests for long enough is sent, however it is called. So a name that is taken for a temporary one
//! by mistake costs minutes, never a file. What is renamed away from such a name is due as if it had never had it.

/// Whether a file of this name is likely to be gone soon.
pub(super) fn is_temporary(name: &str) -> bool {
    is_lock(name)
        || is_editors(name)
        || is_download(name)
        || is_rsyncs(name)
        || is_database(name)
        || is_gits(name)
}

/// Whether programs call the former content of a file `of` so: `of~`, or `of.~3~`.
pub(super) fn is_backup(name: &str, of: &str) -> bool {
    let Some(rest) = name.strip_prefix(of).and_then(|r| r.strip_suffix('~')) else { return false };
    let number = rest.strip_prefix(".~");
    rest.is_empty() || number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// What the name of a partial download of `name` begins with: browsers put a salt and the extension behind the stem.
pub(super) fn download_stem(name: &str) -> &str {
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

/// A download that is not complete.
pub(super) fn is_download(name: &str) -> bool {
    [".part", ".crdownload", ".partial", ".download"].iter().any(|end| is_ending(name, end))
}

/// LibreOffice, Microsoft Office, emacs, KeePassXC, and what network filesystems make of removed files.
fn is_lock(name: &str) -> bool {
    (name.starts_with(".~lock.") && name.ends_with('#'))
        || name.starts_with("~$")
        || name.starts_with(".#")
        || (name.starts_with('.') && is_ending(name, ".lock"))
        || name.starts_with(".nfs")
        || name.starts_with(".fuse_hidden")
}

/// GIO, vim (the number is its look whether a folder takes files), emacs, Kate, LibreOffice, VS Code; and the backups of
/// them all.
fn is_editors(name: &str) -> bool {
    let swap = |end: &str| end.len() == 3 && end.starts_with("sw") && end.as_bytes()[2].is_ascii_lowercase();
    (name.len() > 1 && name.ends_with('~'))
        || name.starts_with(".goutputstream-")
        || (name.starts_with('.')
            && name.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && swap(end)))
        || name == "4913"
        || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'))
        || is_ending(name, ".kate-swp")
        || is_ending(name, ".vsctmp")
        || (name.starts_with("lu") && is_ending(name, ".tmp"))
}

/// `.NAME.XXXXXX`.
fn is_rsyncs(name: &str) -> bool {
    let Some((stem, salt)) = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')) else {
        return false;
    };
    !stem.is_empty() && salt.len() == 6 && salt.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// SQLite's, beside the database.
fn is_database(name: &str) -> bool {
    ["-journal", "-wal", "-shm"].iter().any(|end| is_ending(name, end))
}

/// git's; not every `*.lock`, since package managers keep files of such names for good.
fn is_gits(name: &str) -> bool {
    const LOCKED: [&str; 9] = [
        "index",
        "HEAD",
        "config",
        "packed-refs",
        "shallow",
        "ORIG_HEAD",
        "FETCH_HEAD",
        "gc.pid",
        "commit-graph-chain",
    ];
    const MADE: [&str; 5] = ["tmp_obj_", "tmp_pack_", "tmp_idx_", "tmp_rev_", "tmp_graph_"];
    name.strip_suffix(".lock").is_some_and(|of| LOCKED.contains(&of))
        || MADE.iter().any(|made| name.starts_with(made))
}

/// Whether something stands before an ending.
fn is_ending(name: &str, end: &str) -> bool {
    name.len() > end.len() && name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_remove_or_rename_soon_is_known_by_its_name() {
        let known = [
            ".~lock.letter.odt#",
            "~$report.docx",
            ".keys.kdbx.lock",
            ".#notes.el",
            "#notes.el#",
            "notes.el~",
            ".goutputstream-A1B2C3",
            ".notes.swp",
            ".notes.txt.swo",
            "4913",
            ".main.rs.kate-swp",
            "main.rs.vsctmp",
            "lu1234abcd.tmp",
            "film.mkv.part",
            "film.x7Ab.mkv.part",
            "Unconfirmed 12.crdownload",
            ".photo.jpg.h4gTzQ",
            "app.db-journal",
            "app.db-wal",
            "app.db-shm",
            "index.lock",
            "tmp_obj_9aBcDe",
            ".fuse_hidden0001",
            ".nfs0001",
        ];
        for name in known {
            assert!(is_temporary(name), "{name}");
        }
        let plain = [
            "notes.txt",
            "film.swf",
            "a.swp",
            "report.tmp",
            "Cargo.lock",
            "main.lock",
            "~",
            ".part",
            ".bashrc",
            ".config",
            "-journal",
            "#",
            "##",
            ".a.toml",
            "part",
            "a.b.abcdef",
            "lunch.txt",
            "naïve~é",
        ];
        for name in plain {
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[test]
    fn a_backup_is_named_after_its_file() {
        assert!(is_backup("a.txt~", "a.txt") && is_backup("a.txt.~12~", "a.txt"));
        for other in ["a.txt", "b.txt~", "a.txt.1", "a.txt.~~", "a.txt.~x~", "a.txt1~", "~"] {
            assert!(!is_backup(other, "a.txt"), "{other}");
        }
        assert_eq!((download_stem("film.tar.gz"), download_stem("film")), ("film", "film"));
    }
}
