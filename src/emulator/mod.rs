//! An Internxt-compatible server on this machine, for tests, benchmarks and demonstrations.
//!
//! It answers as the service was seen to answer, ugly cases included: where it is kinder than the
//! service it hides defects. It speaks the wire from its own understanding and shares no type with
//! [`crate::api`], so that one mistake cannot cancel itself out.
//!
//! One listener carries all: the drive API below `/drive`, the network API below `/network`, the
//! object store below `/shards` (its presigned links carry the host the client spoke to), and
//! notifications at `/socket.io/`. In front of them stands the weather: latency, bandwidth and
//! [faults](Fault), and a [log](RequestLog) of every request.

mod auth;
mod body;
mod browser;
mod drive;
mod errors;
mod events;
mod faults;
mod knobs;
mod log;
mod network;
mod objects;
mod probes;
mod sample;
mod secret;
mod server;
mod tls;
mod validation;
mod wire;
mod world;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use events::Hub;
pub use faults::{Action, Fault};
pub use knobs::{Knobs, Settings};
pub use log::{Entry as LogEntry, Mark, RequestLog};
pub use network::{Network, V1Shard};
pub use probes::{Moment, Probe};
pub use world::{AccountSpec, AccountSummary, NetAccount, Tier, World};

/// What an emulator is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Speak TLS, with a certificate of an authority of our own.
    pub tls: Option<TlsConfig>,
    /// Keep everything here; without it everything is gone at the end.
    pub data: Option<PathBuf>,
    /// The weather at the start.
    pub knobs: Settings,
    /// The accounts of a new world; one that is found in `data` has its own.
    pub accounts: Vec<AccountSpec>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            data: None,
            knobs: Settings::default(),
            accounts: AccountSpec::demo(),
        }
    }
}

/// How the server names itself over TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// Names or addresses beside localhost, 127.0.0.1, `::1` and gateway.internxt.com.
    pub names: Vec<String>,
}

/// What the halves of the emulator see of each other.
pub struct Shared {
    /// Accounts and rows.
    pub world: Arc<World>,
    /// Objects, their entries and quota.
    pub network: Arc<Network>,
    /// Listeners for change events.
    pub hub: Arc<Hub>,
    /// The weather.
    pub knobs: Arc<Knobs>,
}

/// Where the parts of a running emulator are.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Endpoints {
    /// Scheme, host and port of all of them.
    pub gateway: String,
    /// The drive API.
    pub drive: String,
    /// The network API.
    pub network: String,
    /// Change events.
    pub notifications: String,
}

/// A running server. Dropping it stops it without saving; [`Emulator::shutdown`] saves.
pub struct Emulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    log: Arc<RequestLog>,
    scheme: &'static str,
    drive: axum::Router,
    ca: Option<PathBuf>,
    stop: CancellationToken,
    accept: Option<JoinHandle<()>>,
    data: Option<PathBuf>,
}

impl Emulator {
    /// Binds, and serves from then on. Needs a tokio runtime around it.
    pub fn start(config: Config) -> io::Result<Emulator> {
        let world = match &config.data {
            Some(dir) => World::open(dir, config.accounts)?,
            None => World::new(config.accounts),
        };
        let knobs = Arc::new(Knobs::new(config.knobs));
        let network = Network::open(config.data.as_deref(), world.clone(), knobs.clone())?;
        let tls = config.tls.map(|tls| tls::Identity::load_or_make(network.dir(), &tls)).transpose()?;
        let hub = Arc::new(Hub::new(world.clone()));
        let shared = Arc::new(Shared { world, network, hub, knobs });

        let listener = std::net::TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let log = Arc::new(RequestLog::default());
        let stop = CancellationToken::new();
        let ca = tls.as_ref().map(|identity| identity.ca_file.clone());
        let service = server::Service::new(shared.clone(), log.clone(), scheme);
        let drive = service.drive.clone();
        let accept = tokio::spawn(server::accept(listener, tls.map(|t| t.acceptor), service, stop.clone()));
        let accept = Some(accept);
        if config.data.is_some() {
            tokio::spawn(save_now_and_then(Arc::downgrade(&shared.network)));
        }
        Ok(Emulator { address, shared, log, scheme, drive, ca, stop, accept, data: config.data })
    }

    /// The base of everything, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where clients find the services.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        let gateway = self.gateway();
        Endpoints {
            drive: format!("{gateway}/drive"),
            network: format!("{gateway}/network"),
            notifications: gateway.clone(),
            gateway,
        }
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate a client must trust, where TLS is spoken.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The state behind the server.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts some folders and files into the first account, if they are not there.
    pub async fn add_samples(&self) -> io::Result<()> {
        sample::fill(&self.shared, self.drive.clone()).await
    }

    /// Does at once what the service does by and by: deletions reach what lies below, and the objects
    /// of deleted files go.
    pub fn settle(&self) {
        for (bucket, object) in self.shared.world.decay_now() {
            self.shared.network.delete_object(&bucket, &object);
        }
    }

    /// Data that a client destroyed or put at risk, one a line: rows (or kept versions) whose object is
    /// missing or of another size, and objects that two of them share.
    #[must_use]
    pub fn harm(&self) -> Vec<String> {
        let (mut found, mut holders) = (Vec::new(), HashMap::new());
        for claim in self.shared.world.claims() {
            let Some(object) = &claim.object else {
                if claim.size > 0 {
                    found.push(format!("{} has {} bytes and no object", claim.row, claim.size));
                }
                continue;
            };
            match self.shared.network.object_size(&claim.bucket, object) {
                None => found.push(format!("{} refers to the missing object {object}", claim.row)),
                Some(size) if size != claim.size => {
                    found.push(format!("{} says {} bytes, {object} has {size}", claim.row, claim.size));
                }
                Some(_) => {}
            }
            if let Some(other) = holders.insert(object.clone(), claim.row) {
                found.push(format!("{other} and {} share the object {object}", claim.row));
            }
        }
        found
    }

    /// What has been asked so far.
    #[must_use]
    pub fn request_log(&self) -> &RequestLog {
        &self.log
    }

    /// Ends the connections, after a moment for requests that are being answered, and saves.
    pub async fn shutdown(mut self) -> io::Result<()> {
        self.stop.cancel();
        self.shared.hub.close();
        if let Some(accept) = self.accept.take() {
            accept.await.map_err(io::Error::other)?;
        }
        if self.data.is_some() {
            self.shared.world.save()?;
            self.shared.network.save()?;
        }
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.hub.close();
    }
}

/// How much of the network's state a crash of the emulator may cost.
const SAVE_EVERY: Duration = Duration::from_secs(1);

async fn save_now_and_then(network: Weak<Network>) {
    let mut pause = SAVE_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let Some(network) = network.upgrade() else { return };
        let began = Instant::now();
        match tokio::task::spawn_blocking(move || network.save_changes()).await {
            Ok(Err(error)) => {
                tracing::error!("cannot save the emulated network: {error}; it goes on in memory")
            }
            // A large state must not be written all the time.
            _ => pause = SAVE_EVERY.max(began.elapsed() * 10),
        }
    }
}
