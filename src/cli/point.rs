//! Whether a folder can be mounted over.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::exit::Exit;
use super::term;
use crate::control::client::Client;
use crate::control::{self, place};
use crate::fuse;

/// Checks a mountpoint and returns its canonical path. A dead mount is cleared if `force` or the person at the
/// terminal says so.
pub fn check(given: &Path, force: bool, client: &Client, ctx: &Context) -> anyhow::Result<PathBuf> {
    let at = place::canonical(given);
    let shown = at.display();
    match super::context::block_on(async { Ok(client.ping(&at).await) })? {
        Ok(mount) => {
            return Err(
                Exit::Mountpoint.because(format!("{shown} is mounted already, by process {}", mount.pid))
            );
        }
        Err(control::Error::NotRunning(_)) => {}
        Err(e) => return Err(e.into()),
    }
    if fuse::is_stale(&at) {
        clear_stale(&at, force, ctx)?;
    }
    let meta = fs::metadata(&at).map_err(|e| {
        let step = if e.kind() == std::io::ErrorKind::NotFound { "; make it with mkdir" } else { "" };
        Exit::Mountpoint.because(format!("{shown} cannot be used: {e}{step}"))
    })?;
    if !meta.is_dir() {
        return Err(Exit::Mountpoint.because(format!("{shown} is not a folder")));
    }
    if is_mountpoint(&at) {
        return Err(Exit::Mountpoint.because(format!("something else is mounted at {shown}")));
    }
    let empty = fs::read_dir(&at).is_ok_and(|mut entries| entries.next().is_none());
    if !empty {
        return Err(Exit::Mountpoint.because(format!(
            "{shown} is not empty; a mount would hide what is in it. Choose an empty folder"
        )));
    }
    Ok(at)
}

fn clear_stale(at: &Path, force: bool, ctx: &Context) -> anyhow::Result<()> {
    let shown = at.display();
    let agreed = force
        || term::is_interactive()
            && term::confirm(&format!("{shown} holds a mount whose process died. Clear it?"))?;
    if !agreed {
        return Err(Exit::Mountpoint
            .because(format!("{shown} holds a mount whose process died; pass --force to clear it")));
    }
    fuse::clear_stale(at)?;
    ctx.say(&format!("Cleared the dead mount at {shown}."));
    Ok(())
}

/// Whether something is mounted exactly here.
pub fn is_mountpoint(at: &Path) -> bool {
    let Some(parent) = at.parent() else { return true };
    match (fs::metadata(at), fs::metadata(parent)) {
        (Ok(own), Ok(outer)) => own.dev() != outer.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(result: anyhow::Result<PathBuf>) -> (Exit, String) {
        let error = result.unwrap_err();
        (Exit::from(&error), error.to_string())
    }

    #[test]
    fn only_an_empty_folder_of_its_own_will_do() {
        let tmp = tempfile::tempdir().unwrap();
        let ctx = Context::new(None, None, None, true);
        let client = Client::new(vec![tmp.path().join("run")]);
        let check = |name: &str| check(&tmp.path().join(name), false, &client, &ctx);

        let (exit, why) = exit_of(check("absent"));
        assert_eq!(exit, Exit::Mountpoint);
        assert!(why.contains("mkdir"), "{why}");

        fs::write(tmp.path().join("file"), "x").unwrap();
        assert!(exit_of(check("file")).1.contains("not a folder"));

        fs::create_dir_all(tmp.path().join("full/inner")).unwrap();
        assert!(exit_of(check("full")).1.contains("not empty"));
        assert!(check("full/inner").is_ok());
        assert!(is_mountpoint(Path::new("/proc")) && !is_mountpoint(tmp.path()));
    }
}
