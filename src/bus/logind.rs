//! The system's login manager: delays of sleep and shutdown.

use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_util::StreamExt as _;
use zbus::zvariant::OwnedFd as Passed;
use zbus::{Connection, MatchRule, MessageStream};

use super::{Error, PATIENCE, Service, no_bus};

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
/// What systems have who do not say.
const USUAL: Duration = Duration::from_secs(5);
/// To end before it is ended.
const MOMENT: Duration = Duration::from_millis(500);

/// The login manager of this system.
pub struct Logind(Service);

/// Sleep and shutdown wait for its end, for as long as the system allows (a few seconds).
pub struct Delay {
    _end: OwnedFd,
}

impl Logind {
    /// Finds it; must be called within a runtime, which carries the connection.
    ///
    /// # Errors
    /// There is none.
    pub async fn find() -> Result<Self, Error> {
        let bus = in_time(async { Connection::system().await.map_err(|e| no_bus(&e)) }).await?;
        Ok(Logind(Service { bus, name: NAME }))
    }

    /// Takes a delay, with the reason that people are shown.
    ///
    /// # Errors
    /// It was not given.
    pub async fn delay(&self, why: &str) -> Result<Delay, Error> {
        let args = ("sleep:shutdown", "inxtfs", why, "delay");
        let asked = self.0.ask::<_, Passed>(PATH, MANAGER, "Inhibit", &args);
        in_time(asked).await.map(|fd| Delay { _end: fd.into() })
    }

    /// How long a delay may last, less a moment.
    pub async fn longest(&self) -> Duration {
        let asked = in_time(self.0.property(PATH, MANAGER, "InhibitDelayMaxUSec")).await;
        let micros = asked.ok().and_then(|value| u64::try_from(value).ok());
        micros.map_or(USUAL, Duration::from_micros).saturating_sub(MOMENT)
    }

    /// Ends when the system is about to sleep or to shut down; with an error when it cannot be heard of.
    ///
    /// # Errors
    /// The bus is gone.
    pub async fn going_down(&self) -> Result<(), Error> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(NAME)
            .and_then(|b| b.interface(MANAGER))
            .and_then(|b| b.path(PATH))
            .map_err(|e| Error::Failed(e.to_string()))?
            .build();
        let heard = MessageStream::for_match_rule(rule, &self.0.bus, None);
        let mut signals = in_time(async { heard.await.map_err(|e| self.0.told(&e)) }).await?;
        while let Some(signal) = signals.next().await {
            let Ok(signal) = signal else { continue };
            let header = signal.header();
            let word = header.member().map(|m| m.as_str());
            let begins = signal.body().deserialize::<bool>().unwrap_or(false);
            if matches!(word, Some("PrepareForSleep" | "PrepareForShutdown")) && begins {
                return Ok(());
            }
        }
        Err(Error::Absent("the bus is gone".to_owned()))
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(Error::Late))
}
