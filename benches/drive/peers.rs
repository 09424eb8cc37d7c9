//! Whose mount is measured, and how each is started at its best.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::scene::Scene;
use crate::world::{EMAIL, run};

/// A program that mounts the drive.
#[derive(Clone)]
pub enum Subject {
    Inxtfs,
    /// Knows its gateway by a fixed name, which must be this machine.
    Rclone(PathBuf),
    /// The crate `internxt-cli`. Is told its gateway.
    Ixr(PathBuf),
}

/// rclone's documented settings for a mount that is written to, over a line with latency: a cache of whole files, many
/// streams a file, listings kept for long, nothing held back from sending.
const RCLONE: [&str; 20] = [
    "--vfs-cache-mode",
    "full",
    "--vfs-read-chunk-streams",
    "16",
    "--vfs-read-chunk-size",
    "4M",
    "--vfs-write-back",
    "100ms",
    "--vfs-fast-fingerprint",
    "--dir-cache-time",
    "24h",
    "--attr-timeout",
    "1m",
    "--transfers",
    "16",
    "--checkers",
    "16",
    "--async-read",
    "--log-level",
    "ERROR",
];

impl Subject {
    pub fn name(&self) -> &'static str {
        match self {
            Subject::Inxtfs => "inxtfs",
            Subject::Rclone(_) => "rclone",
            Subject::Ixr(_) => "ixr",
        }
    }

    fn home(&self, scene: &Scene) -> PathBuf {
        scene.world.path(self.name())
    }

    fn command(&self, scene: &Scene) -> Option<Command> {
        let program = match self {
            Subject::Inxtfs => return None,
            Subject::Rclone(program) | Subject::Ixr(program) => program,
        };
        let mut command = scene.world.command_of(program.to_str().unwrap());
        command.env("HOME", self.home(scene)).stderr(Stdio::inherit());
        if let Subject::Ixr(_) = self {
            let gateway = scene.world.gateway();
            command.env("DRIVE_NEW_API_URL", format!("{gateway}/drive"));
            command.env("NETWORK_URL", format!("{gateway}/network"));
            command.env("PAYMENTS_API_URL", format!("{gateway}/payments"));
            command.env("IXR_USER", EMAIL).env("IXR_PASSWORD", "demo").env("IXR_NONINTERACTIVE", "1");
        }
        Some(command)
    }

    /// Once, before the first mount. Ours is logged in with its world.
    pub fn login(&self, scene: &Scene) {
        std::fs::create_dir_all(self.home(scene)).unwrap();
        let Some(mut command) = self.command(scene) else { return };
        match self {
            Subject::Inxtfs => {}
            Subject::Rclone(_) => {
                let (email, pass) = (format!("email={EMAIL}"), "pass=demo");
                command.args(["config", "create", "drive", "internxt", &email, pass, "--obscure"]);
                run(&mut command, "").expect(0);
            }
            Subject::Ixr(_) => {
                run(command.args(["login-legacy", "--email", EMAIL, "--password", "demo"]), "").expect(0);
            }
        }
    }

    /// In the foreground; none for ours, which has a way of its own.
    pub fn mount_command(&self, scene: &Scene) -> Option<Command> {
        let mut command = self.command(scene)?;
        let drive = scene.world.drive();
        match self {
            Subject::Inxtfs => return None,
            Subject::Rclone(_) => command.arg("mount").args(RCLONE).arg("drive:").arg(drive),
            Subject::Ixr(_) => command.args(["mount", "--cache-ttl", "86400"]).arg(drive),
        };
        Some(command)
    }

    pub fn throw_cache_away(&self, scene: &Scene) {
        let dir = match self {
            Subject::Inxtfs => scene.world.path(".cache"),
            _ => self.home(scene).join(".cache"),
        };
        let _ = std::fs::remove_dir_all(dir);
    }
}
