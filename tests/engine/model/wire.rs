//! The same lives over the real client, HTTP and the emulated service, with failures on every route.
//!
//! `INXTFS_FAULTS` says how many requests must have met a failure before the test ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use inxtfs::api::{ClientId, Gateway, Tuning};
use inxtfs::emulator::{AccountSpec, Action, Config, Emulator, Fault, Mark, Tier};
use inxtfs::remote::fault::{self, Fault as Injector};
use inxtfs::remote::internxt::{Internxt, Options};
use inxtfs::remote::memory::Memory;
use inxtfs::remote::session::{self, Login};
use inxtfs::remote::{Cursor, Method, Remote, Scope};
use inxtfs::types::{Kind, Row, Urgency};
use tokio::runtime::Runtime;

use super::super::harness::{Engine, PATIENCE};
use super::super::secrets::InMemory;
use super::lives::Life;
use super::world::{Tree, World, table};
use super::{Dice, config, number, run, steps};

const EMAIL: &str = "user@example.com";
const PASSWORD: &str = "correct horse";
/// Failures that an ordinary run meets.
const FAULTS: u64 = 300;
/// Steps of a life: each costs requests.
const STEPS: usize = 16;
/// A client that hears nothing for so long gives up.
const STALL: Duration = Duration::from_millis(400);

#[test]
fn over_the_wire_no_failure_of_any_request_loses_or_bends_a_byte() {
    let (wanted, met) = (number("INXTFS_FAULTS").unwrap_or(FAULTS), Arc::new(AtomicU64::new(0)));
    let first = number("INXTFS_FIRST").unwrap_or(1);
    let seeds = number("INXTFS_SEED").map_or(first..u64::MAX, |seed| seed..seed + 1);
    run("over the wire", seeds, || met.load(Ordering::Relaxed) < wanted, |seed| birth(seed, met.clone()));
    println!("over the wire: {} requests met a failure", met.load(Ordering::Relaxed));
}

fn birth(seed: u64, met: Arc<AtomicU64>) -> Life {
    let mut dice = Dice::new(seed ^ 0x5eed);
    let alone = dice.one_in(2);
    let eager = alone && dice.one_in(3);
    let lagging = dice.one_in(3);
    let wire = Wire::start(lagging, met);
    let mut e = Engine::down(Memory::new(), injector(wire.connect(), seed), config(eager, true));
    e.start();
    e.hydrated();
    let mut life = Life::new(e, Box::new(wire), seed, alone, eager);
    life.steps = steps(STEPS);
    life
}

/// The injector only switches the network off and ends processes here.
fn injector(remote: Internxt, seed: u64) -> Arc<Injector> {
    let injector = Injector::new(Arc::new(remote), seed);
    injector.always(Method::Events, fault::Action::Offline);
    injector
}

struct Wire {
    emulator: Emulator,
    rt: Runtime,
    secrets: Arc<InMemory>,
    second: Arc<dyn Remote>,
    lagging: bool,
    met: Arc<AtomicU64>,
    counted: AtomicU64,
}

fn tuning() -> Tuning {
    Tuning {
        connect: Duration::from_secs(5),
        answer: STALL,
        stall: STALL,
        tries: 2,
        backoff: Duration::from_millis(2),
        backoff_max: Duration::from_millis(10),
        ..Tuning::default()
    }
}

impl Wire {
    fn start(lagging: bool, met: Arc<AtomicU64>) -> Self {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let accounts = vec![AccountSpec::new(EMAIL, PASSWORD, Tier::Ultimate)];
        let (emulator, credentials) = rt.block_on(async {
            let emulator = Emulator::start(Config { accounts, ..Config::default() }).unwrap();
            let gateway = Gateway::parse(&emulator.gateway()).unwrap();
            let login = Login {
                email: EMAIL.to_owned(),
                password: PASSWORD.to_owned().into(),
                totp: None,
                backup_key: None,
            };
            let credentials = session::login(&gateway, login).await.unwrap();
            (emulator, credentials)
        });
        let secrets = Arc::new(InMemory::of(credentials));
        let options = Options { client: ClientId("second".to_owned()), ..Options::default() };
        let second = Arc::new(Internxt::connect(secrets.clone(), options).unwrap());
        Wire { emulator, rt, secrets, second, lagging, met, counted: AtomicU64::new(0) }
    }

    fn connect(&self) -> Internxt {
        let options =
            Options { client: ClientId("first".to_owned()), tuning: tuning(), ..Options::default() };
        Internxt::connect(self.secrets.clone(), options).unwrap()
    }

    fn on<T>(&self, f: impl Future<Output = T>) -> T {
        self.rt.block_on(async { tokio::time::timeout(PATIENCE, f).await.expect("takes too long") })
    }

    fn count(&self) {
        let all = self.emulator.shared().knobs.faults_met();
        self.met.fetch_add(all - self.counted.swap(all, Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn weather(seed: u64) -> Vec<Fault> {
    let status = |code, retry_after| Action::Status { code, body: None, retry_after };
    let mut faults = Vec::new();
    let mut strike = |method: Option<&str>, path: &str, action: Action, chance: f64, times: Option<u64>| {
        let seed = seed.wrapping_add(faults.len() as u64);
        let (method, path) = (method.map(str::to_owned), path.to_owned());
        faults.push(Fault { method, path, times, skip: 0, probability: Some(chance), seed, action });
    };
    // A second one in a row would end the session, which is another matter.
    let unauthorized = r#"{"message":"Unauthorized","statusCode":401}"#.to_owned();
    let expired = Action::Status { code: 401, body: Some(unauthorized), retry_after: None };
    strike(None, "/drive/f**", expired, 0.05, Some(1));
    for path in ["/drive/f**", "/drive/storage/**", "/network/**", "/shards/**"] {
        strike(None, path, Action::Reset, 0.05, None);
        strike(None, path, Action::Lost, 0.06, None);
        strike(None, path, status(500, None), 0.05, None);
        strike(None, path, status(503, None), 0.03, None);
        strike(None, path, status(429, Some(0)), 0.05, None);
        strike(None, path, Action::Truncate { after: 7 }, 0.05, None);
        strike(None, path, Action::Html, 0.03, None);
        // Few: each costs the whole patience.
        strike(None, path, Action::Stall { after: 3, duration: None }, 0.02, Some(1));
    }
    strike(Some("PUT"), "/shards/**", Action::CutUpload { after: 2 }, 0.1, None);
    // A link that ran out.
    strike(None, "/shards/**", status(403, None), 0.1, None);
    faults
}

impl World for Wire {
    fn second(&self) -> Arc<dyn Remote> {
        self.second.clone()
    }

    fn runtime(&self) -> Option<&Runtime> {
        Some(&self.rt)
    }

    fn rough(&self, _: &Engine, dice: &mut Dice) {
        let knobs = &self.emulator.shared().knobs;
        if self.lagging {
            // What others did before is out in the replicas.
            knobs.set_replica_lag(Duration::from_millis(20));
            std::thread::sleep(Duration::from_millis(25));
        }
        knobs.set_faults(weather(dice.below(1 << 30) as u64));
    }

    fn fair(&self, _: &Engine) {
        let knobs = &self.emulator.shared().knobs;
        knobs.set_faults(Vec::new());
        knobs.set_replica_lag(Duration::ZERO);
        self.count();
    }

    fn settle(&self) {
        self.emulator.settle();
    }

    fn harm(&self) -> Vec<String> {
        self.emulator.harm()
    }

    fn reconnect(&self, e: &mut Engine) {
        // Its connections went with the runtime. What the service was doing for them it goes on with, which may be seen by
        // others only after they had looked at what they change.
        while self.emulator.request_log().take_crowd() > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        e.fault = injector(self.connect(), e.fault.seed());
    }

    fn tree(&self, _: &Engine) -> Tree {
        self.on(async {
            let (mut found, mut todo) = (Vec::new(), vec![(String::new(), self.second.account().root)]);
            while let Some((path, folder)) = todo.pop() {
                let rows = match self.second.list(&folder).await {
                    // It went while the tree was walked.
                    Err(inxtfs::remote::Error::NotFound) => continue,
                    rows => rows.unwrap(),
                };
                for row in rows {
                    let path = format!("{path}{}", row.name.display());
                    if row.kind == Kind::Folder {
                        todo.push((format!("{path}/"), row.id.clone()));
                    }
                    found.push((path, row));
                }
            }
            found.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
            found
        })
    }

    fn content(&self, _: &Engine, row: &Row) -> Option<Bytes> {
        let Some(version) = &row.content else { return Some(Bytes::new()) };
        self.on(async {
            let mut stream = self.second.read(version, row.size, 0..row.size, Urgency::Now).await.ok()?;
            let mut all = Vec::new();
            while let Some(piece) = stream.next().await {
                all.extend_from_slice(&piece.ok()?);
            }
            Some(all.into())
        })
    }

    fn rows(&self, _: &Engine) -> Vec<Row> {
        let mut all = Vec::new();
        for kind in [Kind::Folder, Kind::File] {
            let page = self.on(self.second.changes(kind, Scope::All, Cursor::default())).unwrap();
            assert!(page.next.is_none());
            all.extend(page.rows);
        }
        all
    }

    fn story(&self, e: &Engine) -> String {
        let asked = self.emulator.request_log().since(Mark::START);
        let requests: String = asked
            .iter()
            .filter(|r| r.client.as_deref() == Some("first"))
            .map(|r| format!("{:?} {} {} {:?}\n", r.started, r.method, r.path, r.status))
            .collect();
        format!("{requests}{}", table(&self.rows(e)))
    }
}
