//! The real client over HTTP, against the emulator in this process.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use inxtfs::api::{ClientId, Gateway, Tuning};
use inxtfs::emulator::{AccountSpec, Action, Config, Emulator, Fault, Tier};
use inxtfs::names::RemoteName;
use inxtfs::remote::internxt::{Internxt, Options};
use inxtfs::remote::session::{self, Login};
use inxtfs::remote::{NewFile, Remote};
use inxtfs::types::{NodeId, Version};

use crate::common::secrets::InMemory;

use super::{BIRTH, Harness, MTIME, World};

const EMAIL: &str = "user@example.com";
const PASSWORD: &str = "correct horse";

/// Over a line that is as good as lines are.
pub async fn internxt() -> Harness {
    let emulator = start();
    let remotes = clients(&emulator, &Tuning::default()).await;
    harness(emulator, remotes, 1200, Some((100 << 20) + 1))
}

/// Over a line on which every request that may be repeated fails now and then. What may not be
/// repeated is spared: the caller decides about that, and the suite's caller does not.
pub async fn internxt_in_bad_weather() -> Harness {
    let emulator = start();
    let tuning = Tuning {
        stall: Duration::from_secs(2),
        tries: 12,
        backoff: Duration::from_millis(5),
        backoff_max: Duration::from_millis(50),
        ..Tuning::default()
    };
    let remotes = clients(&emulator, &tuning).await;
    emulator.shared().knobs.set_faults(weather());
    harness(emulator, remotes, 60, Some((100 << 20) + 1))
}

fn weather() -> Vec<Fault> {
    let status = |code, retry_after| Action::Status { code, body: None, retry_after };
    let mut faults = Vec::new();
    // Every case has weather of its own, the same in each run: its thread has its name.
    let case = std::thread::current().name().unwrap_or_default().to_owned();
    let mut seed = case.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut strike = |method: &str, path: &str, action: Action, chance: f64| {
        seed = seed.wrapping_add(1);
        faults.push(Fault::on(method, path, action).chance(chance, seed));
    };
    for path in ["/drive/**", "/network/**", "/shards/**"] {
        strike("GET", path, Action::Reset, 0.02);
        strike("GET", path, status(503, None), 0.02);
        strike("GET", path, status(429, Some(0)), 0.02);
        strike("GET", path, Action::Truncate { after: 7 }, 0.02);
        strike("GET", path, Action::Lost, 0.02);
        strike("GET", path, Action::Html, 0.01);
    }
    // Few: each costs the whole patience.
    strike("GET", "/shards/**", Action::Stall { after: 3, duration: None }, 0.005);
    strike("GET", "/drive/folders/**", Action::Stall { after: 9, duration: None }, 0.005);
    strike("PUT", "/shards/**", Action::Reset, 0.03);
    strike("PUT", "/shards/**", Action::CutUpload { after: 2 }, 0.03);
    strike("PUT", "/shards/**", status(503, None), 0.03);
    strike("PUT", "/shards/**", Action::Lost, 0.03);
    strike("POST", "/network/**/start", status(500, None), 0.03);
    strike("POST", "/network/**/start", Action::Lost, 0.03);
    // Refused unseen: what changes something is sent again, too.
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        strike(method, "/drive/**", status(429, Some(0)), 0.03);
    }
    faults
}

fn start() -> Emulator {
    let accounts = vec![AccountSpec::new(EMAIL, PASSWORD, Tier::Ultimate)];
    Emulator::start(Config { accounts, ..Config::default() }).expect("the emulator starts")
}

async fn clients(emulator: &Emulator, tuning: &Tuning) -> [Arc<dyn Remote>; 2] {
    let gateway = Gateway::parse(&emulator.gateway()).expect("a gateway");
    let login =
        Login { email: EMAIL.to_owned(), password: PASSWORD.to_owned().into(), totp: None, backup_key: None };
    let credentials = session::login(&gateway, login).await.expect("login");
    ["first", "second"].map(|name| {
        let secrets = Arc::new(InMemory::of(credentials.clone()));
        let options =
            Options { client: ClientId(name.to_owned()), tuning: tuning.clone(), ..Options::default() };
        Arc::new(Internxt::connect(secrets, options).expect("connect")) as Arc<dyn Remote>
    })
}

fn harness(emulator: Emulator, remotes: [Arc<dyn Remote>; 2], rows: usize, large: Option<usize>) -> Harness {
    let [remote, second] = remotes;
    Harness {
        remote,
        second,
        world: Arc::new(Emulated(emulator)),
        affordable_rows: rows,
        large_upload: large,
    }
}

struct Emulated(Emulator);

#[async_trait]
impl World for Emulated {
    async fn set_plan(&self, quota: u64, max_file: u64, empty_files: u64) -> bool {
        let empty_files = usize::try_from(empty_files).expect("a small number");
        self.0.shared().world.set_limits(EMAIL, quota, max_file, empty_files);
        true
    }

    async fn corrupt(&self, version: &Version) -> bool {
        let damaged = self.0.shared().network.damage_object(&version.bucket, &version.object);
        assert!(damaged.expect("the object's file can be written"));
        true
    }

    async fn lose(&self, version: &Version) -> bool {
        let network = &self.0.shared().network;
        assert!(network.object_size(&version.bucket, &version.object).is_some());
        network.delete_object(&version.bucket, &version.object);
        true
    }

    async fn bulk_stamp(&self, ids: &[NodeId]) -> bool {
        self.0.shared().world.bulk_stamp(ids.iter().map(NodeId::as_str));
        true
    }

    async fn settle(&self) -> bool {
        self.0.settle();
        true
    }

    async fn other_bucket(&self) -> Option<String> {
        self.0.shared().world.add_bucket(EMAIL)
    }

    async fn check(&self) {
        let harm = self.0.harm();
        assert!(harm.is_empty(), "data was harmed:\n{}", harm.join("\n"));
    }
}

/// The look for harm that ends every case must be able to find some.
#[tokio::test]
async fn harm_is_found() {
    let h = internxt().await;
    let dir = h.dir().await;
    let twice = h.put(&Bytes::from_static(b"x")).await;
    let mut rows = Vec::new();
    for name in ["a", "b"] {
        let (parent, name, content) = (dir.clone(), RemoteName::whole(name), twice.clone());
        let file = NewFile { parent, name, content, size: 1, modified: MTIME, created: BIRTH };
        rows.push(h.remote.create(&file).await.expect("nobody asks who else has the object"));
    }
    assert!(is_harmed(&h).await, "one object of two rows");
    h.remote.delete(rows[0].kind, &rows[0].id).await.expect("delete");
    h.world.settle().await;
    assert!(is_harmed(&h).await, "the object went with the other row");
    h.remote.delete(rows[1].kind, &rows[1].id).await.expect("delete");
    assert!(!is_harmed(&h).await);
}

async fn is_harmed(h: &Harness) -> bool {
    AssertUnwindSafe(h.world.check()).catch_unwind().await.is_err()
}
