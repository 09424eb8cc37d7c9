//! This machine: FUSE, AppArmor, room, the place of the control sockets.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Finding, Level};
use crate::cli::context::Context;
use crate::cli::{paths, term};
use crate::control::place;
use crate::fuse::{Facts, MountError};
use crate::remote::session::Credentials;

/// Below this much free disk, caching and unsent changes are short of room.
const LITTLE: u64 = 1 << 30;
/// Below this much, writes fail soon.
const NOTHING: u64 = 64 << 20;
const SETUID: u32 = 0o4000;

/// The device, the helper, and who else may enter mounts.
pub fn fuse(facts: &Facts) -> Vec<Finding> {
    let root = rustix::process::geteuid().is_root();
    vec![device(&facts.device), helper(facts.helper.as_deref(), root), allow_other(facts.allow_other, root)]
}

fn device(device: &Result<(), MountError>) -> Finding {
    const CHECK: &str = "fuse";
    match device {
        Ok(()) => Finding::ok(CHECK, "/dev/fuse can be used"),
        Err(MountError::NoDevice) => Finding::new(
            CHECK,
            Level::Fail,
            "/dev/fuse is missing",
            "`modprobe fuse` as root; in a container pass --device /dev/fuse --cap-add SYS_ADMIN",
        ),
        Err(MountError::DeviceDenied) => Finding::new(
            CHECK,
            Level::Fail,
            "/dev/fuse may not be used by you",
            "`chmod 666 /dev/fuse` as root (or join the group that owns it)",
        ),
        Err(e) => Finding::new(CHECK, Level::Fail, e.to_string(), "`ls -l /dev/fuse` shows what is there"),
    }
}

fn helper(helper: Option<&Path>, root: bool) -> Finding {
    const CHECK: &str = "fusermount3";
    let Some(helper) = helper else {
        let (level, who) =
            if root { (Level::Note, "; root needs it to tidy up only") } else { (Level::Fail, "") };
        return Finding::new(CHECK, level, format!("not installed{who}"), "`apt install fuse3` (as root)");
    };
    let setuid = std::fs::metadata(helper).is_ok_and(|m| m.mode() & SETUID != 0);
    if setuid || root {
        return Finding::ok(CHECK, helper.display().to_string());
    }
    let says = format!("{} has lost its setuid bit, without which it cannot mount", helper.display());
    Finding::new(CHECK, Level::Fail, says, format!("`chmod u+s {}` as root", helper.display()))
}

fn allow_other(allowed: bool, root: bool) -> Finding {
    const CHECK: &str = "allow_other";
    if allowed || root {
        return Finding::ok(CHECK, "mounts may be opened to other users");
    }
    Finding::new(
        CHECK,
        Level::Note,
        "mounts are for you alone; --allow-other is not permitted",
        "only if you want it: add the line `user_allow_other` to /etc/fuse.conf",
    )
}

/// A profile of newer Ubuntus confines where the helper may mount.
pub fn apparmor() -> Finding {
    confined(
        std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|t| t.trim() == "Y"),
        ["/etc/apparmor.d/fusermount3", "/etc/apparmor.d/usr.bin.fusermount3"]
            .into_iter()
            .find(|p| Path::new(p).exists()),
    )
}

fn confined(enabled: bool, profile: Option<&str>) -> Finding {
    const CHECK: &str = "apparmor";
    match (enabled, profile) {
        (false, _) => Finding::ok(CHECK, "not active"),
        (true, None) => Finding::ok(CHECK, "active, no profile for fusermount3"),
        (true, Some(profile)) => Finding::new(
            CHECK,
            Level::Note,
            format!("{profile} says where fusermount3 may mount: below home directories, /mnt, /media, /tmp"),
            "for other places, add a line to /etc/apparmor.d/local/fusermount3 (see contrib/apparmor)",
        ),
    }
}

/// The disk of the cache.
pub fn room(credentials: Option<&Credentials>) -> Option<Finding> {
    const CHECK: &str = "disk";
    let account = credentials.map_or("none", |c| c.account.as_str());
    let given = std::env::var_os("INXTFS_CACHE_DIR").map(std::path::PathBuf::from);
    let dir = match paths::cache(given.as_deref(), account) {
        Ok(dir) => dir,
        Err(e) => return Some(Finding::new(CHECK, Level::Fail, e.to_string(), "set HOME, or --cache-dir")),
    };
    let existing = dir.ancestors().find(|d| d.exists())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let says = format!("{} of {} free for {}", term::bytes(free), term::bytes(total), dir.display());
    let remedy = "make room, or choose another place with `mount --cache-dir DIR`";
    Some(if rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_err() {
        let says = format!("{} cannot be written", existing.display());
        Finding::new(CHECK, Level::Fail, says, "choose another place with `mount --cache-dir DIR`")
    } else if free < NOTHING {
        Finding::new(CHECK, Level::Fail, says, remedy)
    } else if free < LITTLE || free < total / 20 {
        Finding::new(CHECK, Level::Warn, says, remedy)
    } else {
        Finding::ok(CHECK, says)
    })
}

/// Where commands and mounts meet.
pub fn control(ctx: &Context) -> Finding {
    const CHECK: &str = "control";
    let dirs = match ctx.control_dirs() {
        Ok(dirs) => dirs,
        Err(e) => return Finding::new(CHECK, Level::Fail, e.to_string(), "set HOME or XDG_RUNTIME_DIR"),
    };
    let Some(dir) = dirs.first() else { return Finding::ok(CHECK, "no place yet") };
    // One that is not there yet is made by the first mount.
    if !dir.exists() {
        return Finding::ok(CHECK, format!("sockets of mounts go to {}", dir.display()));
    }
    match place::prepare(dir) {
        Ok(()) => Finding::ok(CHECK, format!("sockets of mounts are in {}", dir.display())),
        Err(e) => {
            let remedy = format!("`chmod 700 {0}`, or remove it if it is not yours", dir.display());
            Finding::new(CHECK, Level::Fail, e.to_string(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fuse_lacks_is_told_with_its_remedy() {
        let missing = device(&Err(MountError::NoDevice));
        assert_eq!(missing.level, Level::Fail);
        assert!(missing.remedy.unwrap().contains("modprobe fuse"));
        assert_eq!(device(&Err(MountError::DeviceDenied)).level, Level::Fail);
        assert_eq!(device(&Ok(())).level, Level::Ok);

        assert_eq!(helper(None, true).level, Level::Note, "root mounts by itself");
        assert!(helper(None, false).remedy.unwrap().contains("apt install fuse3"));
        let plain = tempfile::NamedTempFile::new().unwrap();
        assert!(helper(Some(plain.path()), false).remedy.unwrap().contains("chmod u+s"));
        assert_eq!(allow_other(false, false).level, Level::Note);
        assert_eq!(allow_other(true, false).level, Level::Ok);
    }

    #[test]
    fn a_profile_that_confines_mounts_is_named() {
        assert_eq!(confined(false, Some("/p")).level, Level::Ok);
        assert_eq!(confined(true, None).level, Level::Ok);
        let found = confined(true, Some("/etc/apparmor.d/fusermount3"));
        assert!(found.level == Level::Note && found.says.contains("/etc/apparmor.d/fusermount3"));
    }
}
