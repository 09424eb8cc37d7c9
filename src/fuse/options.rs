//! What a mount looks like to the system.

use fuser::{Config, MountOption, SessionACL};

/// How the drive appears in the tree.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The kernel refuses every change.
    pub read_only: bool,
    /// Other users may enter, within the permissions below. Without it not even `root` may, and an
    /// `uid` other than the mounting user's is locked out of its own files.
    pub allow_other: bool,
    /// Owner of everything.
    pub uid: u32,
    /// Group of everything.
    pub gid: u32,
    /// Permissions to take from 0666 (files) and 0777 (folders).
    pub umask: u16,
    /// The source shown by `mount` and `df`: `inxtfs:` and the account's email.
    pub fsname: String,
    /// Desktops are to take it for a remote filesystem. The list they go by is fixed, and of filesystems like this one
    /// only sshfs is on it: that is what it is called then.
    pub remote: bool,
    /// Programs that nobody waits for, besides the known indexers: see [`fs::OpenFlags`](crate::fs::OpenFlags).
    pub background: Vec<String>,
    /// Further options by the words of `mount(8)`, such as `noexec`. Words that only tell `mount`,
    /// `systemd` or `fstab` something are ignored.
    pub extra: Vec<String>,
}

impl Default for MountOptions {
    fn default() -> Self {
        MountOptions {
            read_only: false,
            allow_other: false,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            umask: 0o077,
            fsname: "inxtfs".to_owned(),
            remote: false,
            background: Vec::new(),
            extra: Vec::new(),
        }
    }
}

/// What the filesystem is called.
const OWN: &str = "inxtfs";
/// See [`MountOptions::remote`].
const REMOTE: &str = "sshfs";

/// Whether a mount of this kind and source is one of this program's.
pub(super) fn is_of_this_program(kind: &str, source: &str) -> bool {
    match kind.strip_prefix("fuse.") {
        Some(OWN) => true,
        Some(REMOTE) => source == OWN || source.starts_with("inxtfs:"),
        _ => false,
    }
}

/// Requests are served by a few threads, so that one that waits for the disk holds up no other.
const THREADS: usize = 4;

impl MountOptions {
    /// The binding's words.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::default();
        // A comma would end the option where the mount helper takes it.
        config.mount_options.push(MountOption::FSName(self.fsname.replace(',', "_")));
        // As root the binding drops its own subtype option; as text it reaches kernel and helper alike.
        let subtype = if self.remote { REMOTE } else { OWN };
        config.mount_options.push(MountOption::CUSTOM(format!("subtype={subtype}")));
        config.mount_options.push(MountOption::DefaultPermissions);
        if self.read_only {
            config.mount_options.push(MountOption::RO);
        }
        for option in self.extra.iter().filter_map(|word| translate(word)) {
            if !config.mount_options.contains(&option) {
                config.mount_options.push(option);
            }
        }
        config.acl = if self.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        config
    }
}

/// Flags must not reach the kernel as text: it refuses the mount.
fn translate(word: &str) -> Option<MountOption> {
    const NOT_FOR_THE_KERNEL: [&str; 14] = [
        "rw",
        "defaults",
        "auto",
        "noauto",
        "user",
        "nouser",
        "users",
        "owner",
        "nofail",
        "_netdev",
        "allow_other",
        "default_permissions",
        "nonempty",
        "relatime",
    ];
    Some(match word {
        "" => return None,
        w if NOT_FOR_THE_KERNEL.contains(&w) || w.starts_with("x-") || w.starts_with("comment=") => {
            return None;
        }
        "ro" => MountOption::RO,
        "dev" => MountOption::Dev,
        "nodev" => MountOption::NoDev,
        "suid" => MountOption::Suid,
        "nosuid" => MountOption::NoSuid,
        "exec" => MountOption::Exec,
        "noexec" => MountOption::NoExec,
        "atime" => MountOption::Atime,
        "noatime" => MountOption::NoAtime,
        "dirsync" => MountOption::DirSync,
        "sync" => MountOption::Sync,
        "async" => MountOption::Async,
        other => MountOption::CUSTOM(other.to_owned()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_always_checked_by_the_kernel() {
        for allow_other in [false, true] {
            let config = MountOptions { allow_other, ..MountOptions::default() }.config();
            assert!(config.mount_options.contains(&MountOption::DefaultPermissions));
            assert_eq!(config.acl == SessionACL::All, allow_other);
        }
    }

    #[test]
    fn a_mount_that_looks_remote_is_known_by_its_source() {
        let config = MountOptions { remote: true, ..MountOptions::default() }.config();
        assert!(config.mount_options.contains(&MountOption::CUSTOM("subtype=sshfs".to_owned())));
        assert!(is_of_this_program("fuse.sshfs", "inxtfs:a@b"));
        assert!(is_of_this_program("fuse.inxtfs", "whatever"));
        assert!(!is_of_this_program("fuse.sshfs", "host:/inxtfs:"));
        assert!(!is_of_this_program("ext4", "inxtfs:a@b"));
    }

    #[test]
    fn words_of_fstab_stay_out_and_flags_are_no_text() {
        let extra = ["_netdev", "noauto", "x-systemd.automount", "noexec", "ro", "max_read=65536"];
        let options = MountOptions {
            read_only: true,
            fsname: "inxtfs:a,b@c".to_owned(),
            extra: extra.map(str::to_owned).to_vec(),
            ..MountOptions::default()
        };
        assert_eq!(
            options.config().mount_options,
            [
                MountOption::FSName("inxtfs:a_b@c".to_owned()),
                MountOption::CUSTOM("subtype=inxtfs".to_owned()),
                MountOption::DefaultPermissions,
                MountOption::RO,
                MountOption::NoExec,
                MountOption::CUSTOM("max_read=65536".to_owned()),
            ]
        );
    }
}
