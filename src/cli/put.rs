//! `inxtfs put`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::{StreamExt, stream};

use super::cloud::{self, Entry};
use super::context::Context;
use super::exit::Exit;
use super::get::{body, files_of};
use super::term::plain;
use crate::names::{self, RemoteName};
use crate::remote::internxt::Internxt;
use crate::remote::{Error, NewFile, Remote, Replacement, Row};
use crate::types::{Kind, Timestamp};

/// Files sent at a time.
const AT_ONCE: usize = 4;

/// Sends a file, or a folder with all below it, without a mount.
///
/// What is there already with the same size and time is left alone, so that a run that was broken off goes on when it is
/// repeated; another file of that name gets the new content, and keeps its shares and links. Symbolic links and special files
/// are passed over.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file or folder of this machine.
    source: PathBuf,
    /// The folder of the drive to put it into; it is made if need be.
    #[arg(default_value = "/")]
    folder: String,
}

/// Runs it.
pub fn run(args: &Args, ctx: &Context) -> anyhow::Result<Exit> {
    let source = fs::canonicalize(&args.source)
        .map_err(|e| Exit::Usage.because(format!("{}: {e}", args.source.display())))?;
    super::serve::runtime()?.block_on(async {
        let cloud = cloud::connect(ctx)?;
        let into = folder(&cloud, &args.folder).await?;
        let files = plan(&cloud, &source, into, ctx).await?;
        let mut running = stream::iter(files.into_iter().map(|file| {
            let cloud = cloud.clone();
            async move { (send(&cloud, &file).await, file.from) }
        }))
        .buffer_unordered(AT_ONCE);
        let (mut sent, mut there, mut failed) = (0, 0, None);
        while let Some((outcome, from)) = running.next().await {
            match outcome {
                Ok(true) => {
                    sent += 1;
                    ctx.say(&plain(&from.to_string_lossy()));
                }
                Ok(false) => there += 1,
                Err(e) => {
                    eprintln!("inxtfs: {}: {}", plain(&from.to_string_lossy()), super::exit::told(&e));
                    failed = Some(e);
                }
            }
        }
        ctx.say(&format!("{} sent, {} there already.", files_of(sent), files_of(there)));
        failed.map_or(Ok(Exit::Ok), |e| Err(e.context("not all could be sent; run it again to go on")))
    })
}

/// A file to send.
struct Job {
    from: PathBuf,
    name: String,
    parent: Entry,
    /// What has the name now.
    there: Option<Row>,
}

/// Makes the folders, and finds out what is there.
async fn plan(cloud: &Internxt, source: &Path, into: Entry, ctx: &Context) -> anyhow::Result<Vec<Job>> {
    let (mut jobs, mut next) = (Vec::new(), vec![(vec![source.to_owned()], into)]);
    while let Some((paths, parent)) = next.pop() {
        let known = cloud::children(cloud, &parent).await?;
        let known: HashMap<(bool, String), Row> = known
            .into_iter()
            .filter_map(|e| Some(((e.kind == Kind::Folder, e.name().to_owned()), e.row?)))
            .collect();
        for path in paths {
            let meta = fs::symlink_metadata(&path).with_context(|| format!("reading {}", path.display()))?;
            let raw = path.file_name().unwrap_or_default().as_encoded_bytes();
            let name = match names::check(raw, meta.is_dir()) {
                Ok(name) => name.to_owned(),
                Err(e) => return Err(Exit::Other.because(format!("{}: {e}", path.display()))),
            };
            let there = known.get(&(meta.is_dir(), name.clone())).cloned();
            if meta.is_dir() {
                let folder = match there {
                    Some(row) => row,
                    None => made(cloud, &parent, &name).await?,
                };
                let entry = Entry {
                    kind: Kind::Folder,
                    id: folder.id.clone(),
                    path: format!("{}/{name}", parent.path.trim_end_matches('/')),
                    row: Some(folder),
                };
                let inner: Result<Vec<_>, _> = fs::read_dir(&path)?.map(|e| e.map(|e| e.path())).collect();
                next.push((inner?, entry));
            } else if meta.is_file() {
                jobs.push(Job { from: path, name, parent: parent.clone(), there });
            } else {
                ctx.say(&format!("Passed over: {} (the drive has no place for its kind)", path.display()));
            }
        }
    }
    Ok(jobs)
}

/// The folder of a path, made where it is not there.
async fn folder(cloud: &Internxt, path: &str) -> anyhow::Result<Entry> {
    let mut at = cloud::root(cloud);
    for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
        let rows = cloud.find(&at.id, name).await?;
        let row = match rows.into_iter().find(|r| r.kind == Kind::Folder) {
            Some(row) => row,
            None => made(cloud, &at, name).await?,
        };
        let path = format!("{}/{name}", at.path.trim_end_matches('/'));
        at = Entry { kind: Kind::Folder, id: row.id.clone(), path, row: Some(row) };
    }
    Ok(at)
}

async fn made(cloud: &Internxt, parent: &Entry, name: &str) -> anyhow::Result<Row> {
    let name = names::check(name.as_bytes(), true)
        .map_err(|e| Exit::Usage.because(format!("{} cannot be a folder: {e}", plain(name))))?;
    let now = Timestamp::now();
    match cloud.mkdir(&parent.id, name, now, now).await {
        // A mount, or another run, was first.
        Err(Error::Exists) => {
            let rows = cloud.find(&parent.id, name).await?;
            rows.into_iter().find(|r| r.kind == Kind::Folder).ok_or_else(|| Error::Exists.into())
        }
        other => Ok(other?),
    }
}

/// Whether it was sent; `false`: it is there.
async fn send(cloud: &Internxt, job: &Job) -> anyhow::Result<bool> {
    let file = Arc::new(File::open(&job.from)?);
    let meta = file.metadata()?;
    let (size, modified) = (meta.len(), Timestamp::from(meta.modified()?).to_millis_precision());
    if job.there.as_ref().is_some_and(|row| row.size == size && row.modified == modified) {
        return Ok(false);
    }
    let bucket = job.there.as_ref().and_then(|row| row.bucket.clone());
    let content = if size == 0 { None } else { Some(cloud.put(bucket.as_deref(), body(&file, size)).await?) };
    let after = file.metadata()?;
    if after.len() != size || after.modified()? != meta.modified()? {
        if let Some(content) = &content {
            cloud.discard(content).await?;
        }
        return Err(Exit::Other.because("it changed while it was being sent; run it again"));
    }
    match &job.there {
        Some(row) => {
            // Read again right before: a row that another client has changed meanwhile is not overwritten.
            let now = cloud.stat(Kind::File, &row.id).await?;
            if now.content != row.content {
                if let Some(content) = &content {
                    cloud.discard(content).await?;
                }
                return Err(Exit::Other.because("another client changed it meanwhile; run it again"));
            }
            let with = Replacement::new(now.content, content, size, modified)?;
            cloud.replace(&row.id, &with).await?;
        }
        None => {
            let (parent, name) = (job.parent.id.clone(), RemoteName::split(&job.name));
            let created = Timestamp::now().to_millis_precision();
            cloud.create(&NewFile { parent, name, content, size, modified, created }).await?;
        }
    }
    Ok(true)
}
