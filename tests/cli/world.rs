//! An emulator in this process, a home of its own for the program, and mounts that go away whatever happens.
#![allow(dead_code)] // each test program uses its own share

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use inxtfs::emulator::{AccountSummary, Config, Emulator, RequestLog, Shared};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const EMAIL: &str = "demo@inxtfs.local";

/// No step of a test may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct World {
    emulator: Option<Emulator>,
    rt: Runtime,
    tmp: TempDir,
    /// Beside what every program gets.
    environment: BTreeMap<&'static str, OsString>,
}

/// What a run of the program gave.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nout: {}\nerr: {}", self.out, self.err);
        self
    }
}

impl World {
    pub fn new() -> Self {
        World::with(Config::default())
    }

    /// On an emulator like this.
    pub fn with(config: Config) -> Self {
        let rt = Runtime::new().unwrap();
        let emulator = {
            let _in = rt.enter();
            Emulator::start(config).unwrap()
        };
        let tmp = tempfile::Builder::new().prefix("inxtfs-cli-").tempdir().unwrap();
        let world = World { emulator: Some(emulator), rt, tmp, environment: BTreeMap::new() };
        for dir in ["run", "drive"] {
            std::fs::create_dir(world.path(dir)).unwrap();
        }
        world
    }

    pub fn home(&self) -> &Path {
        self.tmp.path()
    }

    /// For all programs from now on.
    pub fn set(&mut self, variable: &'static str, value: impl Into<OsString>) {
        self.environment.insert(variable, value.into());
    }

    pub fn unset(&mut self, variable: &str) {
        self.environment.remove(variable);
    }

    /// With a login.
    pub fn logged_in() -> Self {
        let world = World::new();
        world.login(EMAIL, "demo").expect(0);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.tmp.path().join(name)
    }

    pub fn drive(&self) -> PathBuf {
        self.path("drive")
    }

    pub fn gateway(&self) -> String {
        self.emulator.as_ref().unwrap().gateway()
    }

    /// Whose certificates a client must trust, where TLS is spoken.
    pub fn authority(&self) -> Option<&Path> {
        self.emulator.as_ref().and_then(Emulator::ca_file)
    }

    /// The state behind the service.
    pub fn shared(&self) -> &Shared {
        self.emulator.as_ref().unwrap().shared()
    }

    pub fn account(&self, email: &str) -> AccountSummary {
        self.shared().world.accounts().into_iter().find(|a| a.email == email).unwrap()
    }

    /// Runs something that needs a runtime around it.
    pub fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        let _in = self.rt.enter();
        f()
    }

    pub fn block_on<T>(&self, f: impl Future<Output = T>) -> T {
        self.rt.block_on(async { tokio::time::timeout(PATIENCE, f).await.expect("takes too long") })
    }

    /// Data on the server that a client destroyed or put at risk.
    pub fn harm(&self) -> Vec<String> {
        self.emulator.as_ref().unwrap().settle();
        self.emulator.as_ref().unwrap().harm()
    }

    pub fn log(&self) -> &RequestLog {
        self.emulator.as_ref().unwrap().request_log()
    }

    /// From now on nobody answers. A drive that is mounted has been looked at before: of a tree that was
    /// never read nothing is known offline.
    pub fn cut_network(&mut self) {
        if is_mounted(&self.drive()) {
            eventually("the tree is known", || {
                self.status()["status"]["hydrated"].as_bool().unwrap_or(false)
            });
        }
        if let Some(emulator) = self.emulator.take() {
            self.rt.block_on(emulator.shutdown()).unwrap();
        }
    }

    /// The program of this build, or the one that `INXTFS` names.
    pub fn command(&self) -> Command {
        let program = std::env::var("INXTFS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_inxtfs").to_owned());
        self.command_of(&program)
    }

    /// Another program, in the same home.
    pub fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.tmp.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .envs(&self.environment)
            .envs(self.authority().map(|ca| ("SSL_CERT_FILE", ca)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        run(self.command().args(args), "")
    }

    pub fn login(&self, email: &str, password: &str) -> Ran {
        let mut command = self.command();
        command.args(["--gateway", &self.gateway(), "login", "--email", email, "--password-stdin"]);
        run(&mut command, &format!("{password}\n"))
    }

    /// Mounts in the background, with a short quiet period.
    pub fn mount(&self) {
        self.mount_with(&[]);
    }

    pub fn mount_with(&self, flags: &[&str]) {
        let drive = self.drive();
        let mut args = vec!["mount", "--daemon", drive.to_str().unwrap()];
        if !flags.contains(&"--writeback-delay") {
            args.extend(["--writeback-delay", "300ms"]);
        }
        args.extend(flags);
        self.run(args).expect(0);
        assert!(is_mounted(&drive));
    }

    /// Runs a subcommand on the mountpoint.
    pub fn on_drive(&self, subcommand: &str, flags: &[&str]) -> Ran {
        let drive = self.drive();
        self.run([subcommand, drive.to_str().unwrap()].into_iter().chain(flags.iter().copied()))
    }

    pub fn status(&self) -> serde_json::Value {
        let ran = self.on_drive("status", &["--json"]).expect(0);
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["mounts"][0].take()
    }

    pub fn mount_pid(&self) -> i32 {
        i32::try_from(self.status()["mount"]["pid"].as_i64().unwrap()).unwrap()
    }

    /// What the background process has said.
    pub fn mount_log(&self) -> String {
        let dir = self.path(".local/state/inxtfs");
        let logs = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        let logs = logs.filter(|p| p.extension().is_some_and(|e| e == "log"));
        logs.map(|p| std::fs::read_to_string(p).unwrap()).collect()
    }

    /// Bucket and object of the file with this name, as the service tells its owner.
    pub fn object_of(&self, stem: &str) -> (String, String) {
        let token = self.shared().world.issue_token(EMAIL, Duration::from_secs(600)).unwrap();
        let bearer = format!("authorization: Bearer {token}");
        let url = format!("{}/drive/files?status=EXISTS&limit=1000&offset=0", self.gateway());
        let text = tool("curl", &["-sSf", "-H", &bearer, &url].map(AsRef::as_ref));
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        let row = rows.as_array().unwrap().iter().find(|row| row["plainName"] == stem).unwrap();
        let field = |name: &str| row[name].as_str().unwrap().to_owned();
        (field("bucket"), field("fileId"))
    }

    pub fn throw_cache_away(&self) {
        std::fs::remove_dir_all(self.path(".cache")).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let drive = self.drive();
        if is_mounted(&drive) {
            let _ = self.on_drive("umount", &["--detach"]);
        }
        if is_mounted(&drive) {
            let _ = Command::new("fusermount3").arg("-uzq").arg(&drive).status();
        }
    }
}

pub fn run(command: &mut Command, input: &str) -> Ran {
    run_slowly(command, Duration::ZERO, input)
}

/// As a person does it, who answers a while after the program has started.
pub fn run_slowly(command: &mut Command, after: Duration, input: &str) -> Ran {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        std::thread::sleep(after);
        // A program that has ended already does not read.
        let _ = stdin.write_all(input.as_bytes());
        std::thread::sleep(after);
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// By the kernel's table, which asks no filesystem.
pub fn is_mounted(at: &Path) -> bool {
    let at = at.to_str().unwrap();
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().any(|line| line.split(' ').nth(1) == Some(at))
}

/// As anybody can. The kernel may still be letting go of files that were closed a moment ago.
pub fn unmount_by_hand(at: &Path) {
    eventually("the kernel lets go", || {
        Command::new("fusermount3").arg("-u").arg(at).output().unwrap().status.success()
    });
}

/// Waits until `done`, with a bound.
#[track_caller]
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a tool of the system, which must succeed; returns its output.
#[track_caller]
pub fn tool(name: &str, args: &[&OsStr]) -> String {
    let output = Command::new(name).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process still runs; one that only waits to be reaped does not.
pub fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the state follows it.
    stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" ") && !rest.starts_with(" Z"))
}

/// Bytes that compress to nothing shorter and differ at every offset.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
