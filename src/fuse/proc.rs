//! What `/proc` tells about mounts and their users.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountEntry {
    /// `major:minor`: tells one mount from another at the same place.
    pub(super) device: String,
    pub(super) point: PathBuf,
    /// Such as `fuse.inxtfs`.
    pub(super) kind: String,
    pub(super) source: String,
}

/// What is mounted at exactly this (canonical) path, topmost.
pub(super) fn mounted_at(point: &Path) -> Option<MountEntry> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    topmost(&table, point)
}

/// Where filesystems of a kind are mounted.
pub(super) fn mounts_of(kind: &str) -> Vec<PathBuf> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let all = table.split(|b| *b == b'\n').filter_map(parse);
    all.filter(|m| m.kind == kind).map(|m| m.point).collect()
}

fn topmost(table: &[u8], point: &Path) -> Option<MountEntry> {
    table.split(|b| *b == b'\n').filter_map(parse).rfind(|m| m.point == point)
}

fn parse(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|b| *b == b' ');
    let device = text(fields.nth(2)?);
    let point = PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.nth(1)?)));
    let mut rest = fields.skip_while(|f| *f != b"-").skip(1);
    let kind = text(rest.next()?);
    let source = text(rest.next()?);
    Some(MountEntry { device, point, kind, source })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// Blanks, tabs, newlines and backslashes are written as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Processes that keep a mount busy, as `name (pid)`; those of other users are seen by root only.
/// Reads links in `/proc`, never the mount itself.
pub(super) fn users_of(point: &Path) -> Vec<String> {
    const ENOUGH: usize = 5;
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(Result::ok)
        .filter(|p| p.file_name().as_bytes().iter().all(u8::is_ascii_digit))
        .filter(|p| uses(&p.path(), point))
        .take(ENOUGH)
        .map(|p| {
            let name = std::fs::read_to_string(p.path().join("comm")).unwrap_or_default();
            format!("{} ({})", name.trim(), p.file_name().to_string_lossy())
        })
        .collect()
}

fn uses(process: &Path, point: &Path) -> bool {
    let below = |link: PathBuf| std::fs::read_link(link).is_ok_and(|target| target.starts_with(point));
    if below(process.join("cwd")) || below(process.join("root")) || below(process.join("exe")) {
        return true;
    }
    let fds = std::fs::read_dir(process.join("fd"));
    if fds.is_ok_and(|fds| fds.filter_map(Result::ok).any(|fd| below(fd.path()))) {
        return true;
    }
    std::fs::read(process.join("maps")).is_ok_and(|maps| {
        maps.split(|b| *b == b'\n')
            .filter_map(|line| line.iter().position(|b| *b == b'/').map(|at| &line[at..]))
            .any(|path| Path::new(OsStr::from_bytes(path)).starts_with(point))
    })
}

/// Programs that do what the file says that they are given: `kioworker .../kf6/kio/thumbnail.so`.
const WORKERS: [&str; 3] = ["kioworker", "kioslave5", "kdeinit5"];

/// What a thread calls itself, what its process does, and what that works for. Nothing if it is gone.
pub(super) fn names_of(thread: u32) -> Vec<String> {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{thread}/status")) else { return Vec::new() };
    let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    let process = field("Tgid:").filter(|p| *p != thread.to_string());
    let leader = process.and_then(|p| std::fs::read_to_string(format!("/proc/{p}/comm")).ok());
    let mut names: Vec<_> =
        field("Name:").into_iter().chain(leader.map(|name| name.trim().to_owned())).collect();
    if names.iter().any(|name| WORKERS.contains(&name.as_str())) {
        let told = std::fs::read(format!("/proc/{thread}/cmdline")).unwrap_or_default();
        names.extend(worker_of(&told));
    }
    names
}

/// The name of the file that a worker is given.
fn worker_of(cmdline: &[u8]) -> Option<String> {
    let file = cmdline.split(|b| *b == 0).nth(1)?;
    Path::new(OsStr::from_bytes(file)).file_name().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        40 22 0:51 / /home/a\\040b rw - fuse.inxtfs inxtfs:a@b rw,user_id=0\n\
        41 40 0:52 / /home/a\\040b ro master:3 propagate_from:2 - tmpfs tmpfs rw\n";

    #[test]
    fn the_topmost_mount_of_a_place_counts() {
        let top = topmost(TABLE, Path::new("/home/a b")).unwrap();
        assert_eq!((top.device.as_str(), top.kind.as_str()), ("0:52", "tmpfs"));
        let root = topmost(TABLE, Path::new("/")).unwrap();
        assert_eq!((root.kind.as_str(), root.source.as_str()), ("ext4", "/dev/sda1"));
        assert_eq!(topmost(TABLE, Path::new("/home")), None);
    }

    #[test]
    fn escapes_are_undone_and_stray_backslashes_stay() {
        assert_eq!(unescape(b"a\\040\\134b\\"), b"a \\b\\");
        assert_eq!(unescape(b"\\9zz"), b"\\9zz");
    }

    #[test]
    fn an_open_file_names_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("held")).unwrap();
        let canonical = dir.path().canonicalize().unwrap();
        let me = format!("({})", std::process::id());
        assert!(users_of(&canonical).iter().any(|who| who.ends_with(&me)));
        drop(file);
        assert!(!users_of(&canonical).iter().any(|who| who.ends_with(&me)));
    }

    #[test]
    fn a_worker_is_told_by_what_it_is_given() {
        let told = b"/usr/libexec/kf6/kioworker\0/usr/lib/qt6/plugins/kf6/kio/thumbnail.so\0thumbnail\0\0";
        assert_eq!(worker_of(told).as_deref(), Some("thumbnail.so"));
        assert_eq!(worker_of(b"kdeinit5: Running...\0"), None);
    }
}
