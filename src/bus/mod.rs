//! D-Bus: what a desktop and a system offer their programs. Typed, no policy.
//!
//! There may be no bus, nobody on it, or somebody who never answers: an errand ends within seconds, whatever happens.

pub mod keyring;
pub mod logind;

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type};
use zbus::{Connection, Message};

/// How long the whole of an errand may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// For what cannot be timed from within.
const GRACE: Duration = Duration::from_millis(500);

/// Why an errand failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no bus here, or nobody on it offers that.
    #[error("{0}")]
    Absent(String),
    /// It is there, and needs a person to open it.
    #[error("it is locked")]
    Locked,
    /// No answer in time.
    #[error("it does not answer")]
    Late,
    /// It refused.
    #[error("it failed: {0}")]
    Failed(String),
}

/// A service on a bus.
struct Service {
    bus: Connection,
    name: &'static str,
}

impl Service {
    async fn ask<A, R>(&self, path: &str, interface: &str, method: &str, args: &A) -> Result<R, Error>
    where
        A: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let answer = self.tell(path, interface, method, args).await?;
        answer.body().deserialize().map_err(|e| Error::Failed(format!("{method}: {e}")))
    }

    async fn tell<A>(&self, path: &str, interface: &str, method: &str, args: &A) -> Result<Message, Error>
    where
        A: Serialize + DynamicType,
    {
        let asked = self.bus.call_method(Some(self.name), path, Some(interface), method, args).await;
        asked.map_err(|e| self.told(&e))
    }

    async fn property(&self, path: &str, interface: &str, property: &str) -> Result<OwnedValue, Error> {
        self.ask(path, "org.freedesktop.DBus.Properties", "Get", &(interface, property)).await
    }

    fn told(&self, error: &zbus::Error) -> Error {
        let zbus::Error::MethodError(name, words, _) = error else {
            return Error::Failed(error.to_string());
        };
        match name.as_str() {
            "org.freedesktop.Secret.Error.IsLocked" => Error::Locked,
            "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.TimedOut" => Error::Late,
            "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => {
                Error::Absent(format!("nobody on the bus is {}", self.name))
            }
            other if other.starts_with("org.freedesktop.DBus.Error.Spawn.") => {
                Error::Absent(format!("{} cannot be started", self.name))
            }
            other => Error::Failed(words.clone().unwrap_or_else(|| other.to_owned())),
        }
    }
}

fn no_bus(error: &zbus::Error) -> Error {
    Error::Absent(format!("no bus can be reached ({error})"))
}

/// Runs an errand on a thread and a runtime of its own, so that it can be done from anywhere and ends in time.
fn errand<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>>,
{
    let (tell, hear) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(rt) => {
                let limited = async { tokio::time::timeout(PATIENCE, work()).await };
                let done = rt.block_on(limited).unwrap_or(Err(Error::Late));
                rt.shutdown_background();
                done
            }
            Err(e) => Err(Error::Failed(e.to_string())),
        };
        // Nobody may be waiting any more.
        let _ = tell.send(done);
    };
    std::thread::Builder::new()
        .name("bus".to_owned())
        .spawn(run)
        .map_err(|e| Error::Failed(e.to_string()))?;
    hear.recv_timeout(PATIENCE + GRACE).unwrap_or(Err(Error::Late))
}

/// The path that stands for none.
fn is_none(path: &OwnedObjectPath) -> bool {
    path.as_str() == "/"
}

/// Names and values by which a thing is found; anybody on the bus can read them.
pub type Attributes = HashMap<String, String>;
