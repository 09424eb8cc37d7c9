//! `inxtfs get`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::cloud::{self, Entry};
use super::context::Context;
use super::exit::Exit;
use super::term::plain;
use crate::remote::internxt::Internxt;
use crate::remote::{Body, Remote, Row};
use crate::types::{Kind, Timestamp, Urgency};

/// Files fetched at a time.
const AT_ONCE: usize = 4;

/// Fetches a file, or a folder with all below it, without a mount.
///
/// What is here already with the same size and time is left alone; what was broken off goes on where it was. Every file is
/// checked against its hash before it gets its name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A path within the drive, such as `/Documents`.
    path: String,
    /// An existing folder, or the new name [default: the present folder].
    target: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    super::serve::runtime()?.block_on(async {
        let cloud = cloud::connect(ctx)?;
        let top = cloud::find(&cloud, &args.path).await?;
        let to = target(args.target.as_deref(), &top);
        let skip = top.path.trim_end_matches('/').len();
        let mut files = Vec::new();
        for entry in cloud::below(&cloud, top).await? {
            let at = place(&to, entry.path.get(skip..).unwrap_or_default())?;
            match entry.kind {
                Kind::Folder => {
                    fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?
                }
                Kind::File => files.push((entry, at)),
            }
        }
        let mut failed = None;
        let (mut got, mut there) = (0_u64, 0_u64);
        let mut running = stream::iter(files.into_iter().map(|(entry, at)| {
            let cloud = cloud.clone();
            async move { (fetch(&cloud, &entry, &at).await, entry) }
        }))
        .buffer_unordered(AT_ONCE);
        while let Some((outcome, entry)) = running.next().await {
            match outcome {
                Ok(true) => {
                    got += 1;
                    ctx.say(&plain(&entry.path));
                }
                Ok(false) => there += 1,
                Err(e) => {
                    eprintln!("inxtfs: {}: {}", plain(&entry.path), super::exit::told(&e));
                    failed = Some(e);
                }
            }
        }
        ctx.say(&format!("{} fetched, {} here already.", files_of(got), files_of(there)));
        failed.map_or(Ok(Exit::Ok), |e| Err(e.context("not all could be fetched; run it again to go on")))
    })
}

/// `1 file`, `2 files`.
pub fn files_of(n: u64) -> String {
    if n == 1 { "1 file".to_owned() } else { format!("{n} files") }
}

fn target(given: Option<&Path>, top: &Entry) -> PathBuf {
    match given {
        Some(at) if at.is_dir() => at.join(top.name()),
        Some(at) => at.to_owned(),
        None => PathBuf::from(".").join(top.name()),
    }
}

/// A place below the target. Names come from anywhere: none leads out.
fn place(to: &Path, rest: &str) -> anyhow::Result<PathBuf> {
    let mut at = to.to_owned();
    for name in rest.split('/').filter(|n| !n.is_empty()) {
        if name == "." || name == ".." || name.contains('\0') {
            return Err(Exit::Other.because(format!("{} has a name that cannot be used here", plain(rest))));
        }
        at.push(name);
    }
    Ok(at)
}

/// Whether it was fetched; `false`: it is here.
async fn fetch(cloud: &Internxt, entry: &Entry, at: &Path) -> anyhow::Result<bool> {
    let row = entry.row.as_ref().context("a file without a row")?;
    if !row.readable {
        return Err(Exit::Other.because("it has the old layout, which this program cannot read"));
    }
    if is_here(at, row) {
        return Ok(false);
    }
    let part = part_of(at, row);
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&part);
    let file = Arc::new(file.with_context(|| format!("writing {}", part.display()))?);
    if let Some(version) = &row.content {
        let begun = file.metadata()?.len();
        let begun = if begun > row.size { restart(&file)? } else { begun };
        let mut stream = cloud.read(version, row.size, begun..row.size, Urgency::Now).await?;
        while let Some(piece) = stream.next().await {
            // In order, at its end: what is there when it breaks off is whole.
            std::io::Write::write_all(&mut &*file, &piece?)
                .with_context(|| format!("writing {}", part.display()))?;
        }
        if begun > 0 {
            // What was fetched as a whole has been checked on its way.
            cloud
                .verify(version, body(&file, row.size))
                .await
                .inspect_err(|_| drop(fs::remove_file(&part)))?;
        }
    }
    file.set_modified(system_time(row.modified))?;
    file.sync_all()?;
    fs::rename(&part, at).with_context(|| format!("writing {}", at.display()))?;
    Ok(true)
}

fn restart(file: &File) -> std::io::Result<u64> {
    file.set_len(0)?;
    Ok(0)
}

/// Beside its place, and named after the content, so that another version begins anew.
fn part_of(at: &Path, row: &Row) -> PathBuf {
    let object = row.content.as_ref().map_or("empty", |v| v.object.as_str());
    let name: String = object.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    at.with_file_name(format!(".inxtfs-{name}.part"))
}

fn is_here(at: &Path, row: &Row) -> bool {
    let Ok(meta) = fs::symlink_metadata(at) else { return false };
    let same = |t: std::time::SystemTime| Timestamp::from(t).as_millis() == row.modified.as_millis();
    meta.is_file() && meta.len() == row.size && meta.modified().is_ok_and(same)
}

fn system_time(at: Timestamp) -> std::time::SystemTime {
    let since = Duration::new(at.secs.unsigned_abs(), 0);
    let whole = if at.secs < 0 { UNIX_EPOCH - since } else { UNIX_EPOCH + since };
    whole + Duration::from_nanos(u64::from(at.nanos))
}

/// A local file as it is sent or checked.
pub fn body(file: &Arc<File>, size: u64) -> Body {
    let file = Arc::clone(file);
    let read = move |range: std::ops::Range<u64>| -> futures_util::future::BoxFuture<'static, std::io::Result<Bytes>> {
        let file = Arc::clone(&file);
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || {
                let len = usize::try_from(range.end - range.start).map_err(std::io::Error::other)?;
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(Bytes::from(bytes))
            });
            work.await.map_err(std::io::Error::other)?
        })
    };
    Body { size, read: Arc::new(read), progress: Arc::new(|_| {}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_target() {
        assert_eq!(place(Path::new("/t"), "/a/b").unwrap(), Path::new("/t/a/b"));
        assert!(place(Path::new("/t"), "/a/../../b").is_err());
    }

    #[test]
    fn times_before_1970_keep_their_parts() {
        let at = Timestamp { secs: -2, nanos: 500_000_000 };
        assert_eq!(Timestamp::from(system_time(at)), at);
        let at = Timestamp { secs: 7, nanos: 1 };
        assert_eq!(Timestamp::from(system_time(at)), at);
    }
}
