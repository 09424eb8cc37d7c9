//! The session of a running program: requests with the present credentials, renewed in time.
//!
//! Only a 401 to a renewal proves that the session is gone. A renewed token is on disk before it is
//! used. One renewal runs at a time, in a task of its own: a caller that gives up does not lose it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;

use super::login::{self, Login, LoginError};
use super::token::{Life, backoff};
use super::{Credentials, Secrets, SessionHealth};
use crate::api::{self, Basic, Bearer, Drive, Http, Network, Request, drive};
use crate::crypto::totp;
use crate::remote::Error;
use crate::types::Timestamp;

/// While a renewal ahead of time runs, nobody starts another.
const CLAIM: Duration = Duration::from_secs(60);
/// While the session is lost, look this often whether someone logged in.
const LOOK: Duration = Duration::from_secs(2);

/// Why a call failed: on the wire, or for want of a session.
#[derive(Debug)]
pub(in crate::remote) enum Failure {
    Wire(api::Error),
    Session(Error),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(in crate::remote) struct Session(Arc<Inner>);

struct Inner {
    http: Http,
    secrets: Arc<dyn Secrets>,
    live: RwLock<Live>,
    /// Held while renewing.
    turn: Arc<tokio::sync::Mutex<()>>,
    schedule: Mutex<Schedule>,
    health: watch::Sender<SessionHealth>,
}

struct Live {
    credentials: Arc<Credentials>,
    bearer: Bearer,
    basic: Basic,
    /// Counts replacements: tells a stale refusal from a fresh one.
    generation: u64,
}

struct Schedule {
    renew_at: Option<i64>,
    not_before: Option<Instant>,
    failures: u32,
    /// A lost session was answered by a login of our own; no second one before a renewal has worked.
    logged_in: bool,
    looked: Option<Instant>,
}

impl Live {
    fn new(credentials: Credentials, generation: u64) -> Self {
        let (bearer, basic) = (credentials.bearer(), credentials.basic());
        Live { credentials: Arc::new(credentials), bearer, basic, generation }
    }
}

impl Session {
    pub(in crate::remote) fn new(http: Http, secrets: Arc<dyn Secrets>, credentials: Credentials) -> Self {
        let schedule = Schedule {
            renew_at: renew_at(&credentials.token),
            not_before: None,
            failures: 0,
            logged_in: false,
            looked: None,
        };
        Session(Arc::new(Inner {
            http,
            secrets,
            live: RwLock::new(Live::new(credentials, 0)),
            turn: Arc::default(),
            schedule: Mutex::new(schedule),
            health: watch::Sender::new(SessionHealth::Good),
        }))
    }

    pub(in crate::remote) fn health(&self) -> watch::Receiver<SessionHealth> {
        self.0.health.subscribe()
    }

    pub(in crate::remote) fn credentials(&self) -> Arc<Credentials> {
        self.0.live.read().credentials.clone()
    }

    pub(in crate::remote) fn http(&self) -> &Http {
        &self.0.http
    }

    /// The present token, for the announcements.
    pub(in crate::remote) async fn bearer(&self) -> Result<Bearer, Failure> {
        self.in_time().await?;
        Ok(self.0.live.read().bearer.clone())
    }

    /// Calls the drive API; a refused token is renewed and the call repeated once.
    pub(in crate::remote) async fn drive<T>(&self, request: &Request<Drive, T>) -> Result<T, Failure> {
        self.in_time().await?;
        let (bearer, generation) = {
            let live = self.0.live.read();
            (live.bearer.clone(), live.generation)
        };
        match self.0.http.send(&bearer, request).await {
            Err(e) if e.class() == api::Class::Session => {}
            outcome => return outcome.map_err(Failure::Wire),
        }
        self.renew(generation).await.map_err(Failure::Session)?;
        let bearer = self.0.live.read().bearer.clone();
        let again = self.0.http.send(&bearer, request).await;
        again.map_err(|e| self.refused_again(e))
    }

    /// Calls the network API. Its credentials outlive the session, so a lost one does not stop it.
    pub(in crate::remote) async fn network<T>(&self, request: &Request<Network, T>) -> Result<T, Failure> {
        let (basic, generation) = {
            let live = self.0.live.read();
            (live.basic.clone(), live.generation)
        };
        match self.0.http.send(&basic, request).await {
            Err(e) if e.class() == api::Class::Session => {}
            outcome => return outcome.map_err(Failure::Wire),
        }
        // The user's name changes with the email: ask who we are, once.
        self.renew(generation).await.map_err(Failure::Session)?;
        let basic = self.0.live.read().basic.clone();
        let again = self.0.http.send(&basic, request).await;
        again.map_err(|e| self.refused_again(e))
    }

    fn refused_again(&self, e: api::Error) -> Failure {
        if e.class() == api::Class::Session {
            self.lose("the service refuses even a renewed session");
            return Failure::Session(Error::SessionLost);
        }
        Failure::Wire(e)
    }

    fn lose(&self, why: &str) {
        tracing::warn!(why, "the session is lost; run `inxtfs login`");
        self.0.health.send_replace(SessionHealth::Lost { why: why.to_owned() });
    }

    fn is_lost(&self) -> bool {
        matches!(*self.0.health.borrow(), SessionHealth::Lost { .. })
    }

    /// Renews if it is time, and looks for a new login if the session is lost.
    async fn in_time(&self) -> Result<(), Failure> {
        if self.is_lost() {
            let look = {
                let mut schedule = self.0.schedule.lock();
                let due = schedule.looked.is_none_or(|at| at.elapsed() >= LOOK);
                if due {
                    schedule.looked = Some(Instant::now());
                }
                due
            };
            let generation = self.0.live.read().generation;
            if look && self.renew(generation).await.is_ok() {
                return Ok(());
            }
            return Err(Failure::Session(Error::SessionLost));
        }
        if !self.due() {
            return Ok(());
        }
        let generation = self.0.live.read().generation;
        // Too early to matter: the present token works. What failed shows in the health.
        if let Err(e) = self.renew(generation).await {
            tracing::debug!(error = %e, "renewing ahead of time failed");
        }
        Ok(())
    }

    /// Whether to renew ahead of time; claims the turn for the caller.
    fn due(&self) -> bool {
        let mut schedule = self.0.schedule.lock();
        let now = Instant::now();
        let due = schedule.renew_at.is_some_and(|at| at <= Timestamp::now().secs)
            && schedule.not_before.is_none_or(|at| at <= now);
        if due {
            schedule.not_before = Some(now + CLAIM);
        }
        due
    }

    /// Replaces the credentials of `seen` by newer ones: those on disk if another process logged in,
    /// otherwise the service's.
    async fn renew(&self, seen: u64) -> Result<(), Error> {
        let session = self.clone();
        let task = tokio::spawn(async move {
            let _turn = session.0.turn.clone().lock_owned().await;
            if session.0.live.read().generation != seen {
                return Ok(());
            }
            session.renew_now().await
        });
        task.await.map_err(|e| Error::Offline(format!("renewing the session was interrupted: {e}")))?
    }

    async fn renew_now(&self) -> Result<(), Error> {
        let present = self.credentials();
        let secrets = self.0.secrets.clone();
        let stored = blocking(move || secrets.load()).await?;
        match stored {
            Ok(Some(stored)) if !stored.same_drive(&present) => {
                self.lose("another account, or another master key, is logged in now; mount again");
                return Err(Error::SessionLost);
            }
            Ok(Some(stored)) if stored.token != present.token => {
                // A person, or another process, has logged in.
                self.0.schedule.lock().logged_in = false;
                self.adopt(stored);
                return Ok(());
            }
            // A logout by another process, or a damaged file: our own token still counts.
            Ok(_) => {}
            Err(e) => tracing::warn!(error = %e, "the stored credentials cannot be read"),
        }
        if self.is_lost() {
            return Err(Error::SessionLost);
        }
        let bearer = present.bearer();
        match self.0.http.send(&bearer, &drive::refresh()).await {
            Ok(answer) => {
                self.0.schedule.lock().logged_in = false;
                self.take(&present, &answer).await
            }
            Err(e) if e.status() == Some(401) && present.again.is_some() => self.log_in_again(&present).await,
            Err(e) => Err(self.not_renewed(&present, e)),
        }
    }

    /// On a machine that nobody attends: one attempt, whatever comes of it, since refused ones add up to a lock.
    async fn log_in_again(&self, present: &Credentials) -> Result<(), Error> {
        let Some(again) = &present.again else { return Err(Error::SessionLost) };
        let gateway = self.0.http.gateway().clone();
        // Asks nothing that counts, and so finds out whether the service can be reached at all.
        if let Err(LoginError::Offline(why)) = login::needs_totp(&gateway, &present.email).await {
            self.postpone();
            return Err(Error::Offline(why));
        }
        if std::mem::replace(&mut self.0.schedule.lock().logged_in, true) {
            self.lose("the session ended again right after a login with the stored password");
            return Err(Error::SessionLost);
        }
        let now = u64::try_from(Timestamp::now().secs).unwrap_or(0);
        let totp = again.totp_secret.as_deref().and_then(|secret| totp::code(secret, now));
        let password = again.password.as_str().into();
        let request =
            Login { email: present.email.clone(), password, totp, backup_key: present.mnemonic().ok() };
        let mut next = match login::login(&gateway, request).await {
            Ok(next) => next,
            Err(e) => {
                self.lose(&format!("the login with the stored password failed: {e}"));
                return Err(Error::SessionLost);
            }
        };
        next.again.clone_from(&present.again);
        if !next.same_drive(present) {
            self.lose("the service answers for another drive; the account may have been reset");
            return Err(Error::SessionLost);
        }
        tracing::info!("the session had ended; logged in again with the stored password");
        let (secrets, kept) = (self.0.secrets.clone(), next.clone());
        let saved = blocking(move || secrets.save(&kept)).await?;
        self.adopt(next);
        saved.map_err(|e| Error::Local(std::io::Error::other(e)))
    }

    async fn take(&self, present: &Credentials, answer: &drive::Refreshed) -> Result<(), Error> {
        let mut next = present.clone();
        let user = &answer.user;
        next.account.clone_from(&user.uuid);
        next.bucket.clone_from(&user.bucket);
        next.root.clone_from(&user.root_folder_id);
        if !next.same_drive(present) {
            self.lose("the service answers for another drive; the account may have been reset");
            return Err(Error::SessionLost);
        }
        next.token.clone_from(&answer.new_token);
        next.bridge_user.clone_from(&user.bridge_user);
        next.user_id.clone_from(&user.user_id);
        if !user.email.is_empty() {
            next.email.clone_from(&user.email);
        }
        let (secrets, kept) = (self.0.secrets.clone(), next.clone());
        blocking(move || secrets.save(&kept)).await?.map_err(|e| {
            // Unsaved, the new token stays unused; the present one lives on.
            self.postpone();
            Error::Local(std::io::Error::other(e))
        })?;
        self.adopt(next);
        Ok(())
    }

    fn adopt(&self, credentials: Credentials) {
        {
            let mut schedule = self.0.schedule.lock();
            schedule.renew_at = renew_at(&credentials.token);
            schedule.not_before = Some(Instant::now() + Life::of(&credentials.token).rest());
            schedule.failures = 0;
        }
        {
            let mut live = self.0.live.write();
            *live = Live::new(credentials, live.generation + 1);
        }
        self.0.health.send_replace(SessionHealth::Good);
    }

    fn postpone(&self) {
        let mut schedule = self.0.schedule.lock();
        schedule.not_before = Some(Instant::now() + backoff(schedule.failures));
        schedule.failures = schedule.failures.saturating_add(1);
    }

    fn not_renewed(&self, present: &Credentials, e: api::Error) -> Error {
        self.postpone();
        match e.status() {
            Some(401) => {
                self.lose("the service ended the session");
                Error::SessionLost
            }
            Some(402) => {
                let why = e.message().to_owned();
                let until = Life::of(&present.token).exp;
                self.0.health.send_replace(SessionHealth::PlanLimited { why: why.clone(), until });
                Error::PlanAccess(why)
            }
            _ => match e {
                api::Error::Busy { after } => Error::Busy { after },
                other => Error::Offline(format!("the session could not be renewed: {other}")),
            },
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Local(std::io::Error::other(e)))
}

fn renew_at(token: &str) -> Option<i64> {
    let mut dice = [127];
    let _ = getrandom::fill(&mut dice);
    Life::of(token).renew_at(dice[0])
}
