//! A bus of the test's own, and a desktop's keyring on it.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zbus::zvariant::OwnedObjectPath;

use crate::world::{World, eventually};

/// What the keyring's owner would type.
pub const PASSWORD: &str = "what opens the desktop";

pub struct Bus {
    dir: PathBuf,
    daemon: Child,
    keyring: Option<Child>,
}

impl Bus {
    /// Nobody is on it.
    pub fn start(world: &World) -> Self {
        let dir = world.path("desktop");
        std::fs::create_dir_all(&dir).unwrap();
        let config = dir.join("bus.conf");
        let socket = dir.join("bus");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/>\
             <allow own='*'/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile"]);
        let daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("the bus is there", || UnixStream::connect(&socket).is_ok());
        Bus { dir, daemon, keyring: None }
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.dir.join("bus").display())
    }

    /// A keyring that its owner's password has opened.
    pub fn open_keyring(&mut self, world: &World) {
        self.start_keyring(world, Stdio::piped(), &["--unlock"]);
    }

    /// One that nobody has opened.
    pub fn locked_keyring(&mut self, world: &World) {
        self.start_keyring(world, Stdio::null(), &[]);
    }

    fn start_keyring(&mut self, world: &World, input: Stdio, flags: &[&str]) {
        self.stop_keyring();
        eventually("the former one has let go of its name", || !world.block_on(self.has_keyring()));
        let mut command = Command::new("gnome-keyring-daemon");
        command
            .args(["--foreground", "--components=secrets"])
            .args(flags)
            .env("HOME", &self.dir)
            .env("XDG_RUNTIME_DIR", &self.dir)
            .env("DBUS_SESSION_BUS_ADDRESS", self.address())
            .env_remove("XDG_DATA_HOME")
            .env_remove("DISPLAY")
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        if let Some(mut input) = child.stdin.take() {
            std::io::Write::write_all(&mut input, PASSWORD.as_bytes()).unwrap();
        }
        self.keyring = Some(child);
        eventually("the keyring is there", || world.block_on(self.has_keyring()));
    }

    pub fn stop_keyring(&mut self) {
        if let Some(mut child) = self.keyring.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub async fn connection(&self) -> zbus::Connection {
        let address = self.address();
        zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap()
    }

    async fn has_keyring(&self) -> bool {
        let bus = self.connection().await;
        let proxy = zbus::fdo::DBusProxy::new(&bus).await.unwrap();
        let asked = proxy.name_has_owner("org.freedesktop.secrets".try_into().unwrap());
        tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap().unwrap()
    }

    async fn ask<A, R>(&self, method: &str, args: &A) -> R
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
        R: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        let bus = self.connection().await;
        self.ask_by(&bus, method, args).await
    }

    async fn ask_by<A, R>(&self, bus: &zbus::Connection, method: &str, args: &A) -> R
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
        R: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        let (name, path) = ("org.freedesktop.secrets", "/org/freedesktop/secrets");
        let interface = Some("org.freedesktop.Secret.Service");
        let answer = bus.call_method(Some(name), path, interface, method, args).await.unwrap();
        answer.body().deserialize().unwrap()
    }

    /// How many items of ours the keyring has.
    pub fn kept(&self, world: &World) -> usize {
        let ours = HashMap::from([("application", "inxtfs")]);
        let (open, locked): (Paths, Paths) = world.block_on(self.ask("SearchItems", &(ours,)));
        open.len() + locked.len()
    }

    /// What the only one of them keeps.
    pub fn secret(&self, world: &World) -> String {
        type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);
        world.block_on(async {
            let bus = self.connection().await;
            let ours = HashMap::from([("application", "inxtfs")]);
            let (open, _): (Paths, Paths) = self.ask_by(&bus, "SearchItems", &(ours,)).await;
            let plain = ("plain", zbus::zvariant::Value::from(""));
            let (_, session): (zbus::zvariant::OwnedValue, OwnedObjectPath) =
                self.ask_by(&bus, "OpenSession", &plain).await;
            let secrets: HashMap<OwnedObjectPath, Secret> =
                self.ask_by(&bus, "GetSecrets", &(open, session)).await;
            String::from_utf8(secrets.into_values().next().unwrap().2).unwrap()
        })
    }
}

type Paths = Vec<OwnedObjectPath>;

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop_keyring();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
