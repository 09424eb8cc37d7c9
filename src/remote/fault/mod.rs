//! Failures on demand, around another [`Remote`].
//!
//! A failure is scripted for the n-th call of a method, or drawn at random. What is drawn depends on the
//! seed, the method and the number of the call alone, so that a run can be repeated even where tasks
//! race. Every failure keeps the contract of [`Remote`]: what is reported as not done was not done, and an
//! answer lost after the fact is [`Error::Ambiguous`] where something may have changed.

mod rng;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::{
    Account, Body, ByteStream, Cursor, Error, EventStream, Limits, Method, NewFile, Page, Refusal, Remote,
    Replacement, Result, Row, Scope, Thumbnails, Usage,
};
use crate::names::RemoteName;
use crate::types::{Kind, NodeId, Timestamp, Urgency, Version};

/// A failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing is done: [`Error::Offline`].
    Offline,
    /// It is done and the answer is lost: [`Error::Ambiguous`] for calls that change something,
    /// [`Error::Offline`] for the others.
    Lost,
    /// Nothing is done and nobody can tell: [`Error::Ambiguous`] for calls that change something, [`Error::Offline`]
    /// for the others.
    Unclear,
    /// It is done, late.
    Delay(Duration),
    /// Nothing is done: [`Error::Busy`].
    Busy(Duration),
    /// Nothing is done: [`Error::SessionLost`].
    SessionLost,
    /// Nothing is done: [`Error::Refused`].
    Refuse(Refusal),
    /// A read breaks off with [`Error::Offline`] after so many bytes; other calls fail as if offline.
    Truncate(u64),
}

/// Where in a call a crash point lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Nothing is done yet.
    Before,
    /// It is done, and the caller does not know.
    After,
}

/// Failures drawn at random.
#[derive(Clone, Debug)]
pub struct Random {
    /// How likely each call fails, in thousandths.
    pub per_mille: u16,
    /// What is drawn from, evenly.
    pub actions: Vec<Action>,
    /// Which calls are struck.
    pub methods: Vec<Method>,
}

impl Random {
    /// Every method, every way of failing that passes by itself.
    #[must_use]
    pub fn weather(per_mille: u16) -> Self {
        let actions = vec![
            Action::Offline,
            Action::Lost,
            Action::Unclear,
            Action::Busy(Duration::from_millis(1)),
            Action::Truncate(1000),
        ];
        Random { per_mille, actions, methods: Method::ALL.to_vec() }
    }
}

/// A failure that was injected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Injected {
    /// Into which method.
    pub method: Method,
    /// Into which call of it, from 1.
    pub call: u64,
    /// What.
    pub action: Action,
}

enum Step {
    Act(Action),
    Park(Side, oneshot::Sender<()>),
    Hold(Side, oneshot::Sender<()>, oneshot::Receiver<()>),
}

#[derive(Default)]
struct Plan {
    calls: HashMap<Method, u64>,
    script: HashMap<(Method, u64), Step>,
    always: HashMap<Method, Action>,
    random: Option<Random>,
    injected: Vec<Injected>,
}

/// The injector. With no plan it changes nothing.
pub struct Fault {
    inner: Arc<dyn Remote>,
    seed: u64,
    plan: Mutex<Plan>,
    offline: watch::Sender<bool>,
}

impl Fault {
    /// Around `inner`. If a test panics while the injector lives, the seed is printed.
    #[must_use]
    pub fn new(inner: Arc<dyn Remote>, seed: u64) -> Arc<Self> {
        Arc::new(Fault { inner, seed, plan: Mutex::default(), offline: watch::Sender::new(false) })
    }

    /// Strikes the `nth` call of `method` from now (1 is the next).
    pub fn script(&self, method: Method, nth: u64, action: Action) {
        self.plan.lock().schedule(method, nth, Step::Act(action));
    }

    /// Strikes every call of `method` that no script names, until [`Fault::clear`].
    pub fn always(&self, method: Method, action: Action) {
        self.plan.lock().always.insert(method, action);
    }

    /// Strikes at random, where neither of the above does. `None` ends it.
    pub fn random(&self, random: Option<Random>) {
        self.plan.lock().random = random;
    }

    /// The `nth` call of `method` from now never returns: the place to kill the "process". The receiver hears
    /// when the call is there.
    pub fn crash_at(&self, method: Method, nth: u64, side: Side) -> oneshot::Receiver<()> {
        let (reached, hears) = oneshot::channel();
        self.plan.lock().schedule(method, nth, Step::Park(side, reached));
        hears
    }

    /// The `nth` call of `method` from now waits: the receiver hears when it is there, and it goes on, as if nothing
    /// had been, once the sender has sent or is dropped.
    pub fn hold_at(&self, method: Method, nth: u64) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        self.hold(method, nth, Side::Before)
    }

    /// The same; what waits is the answer.
    pub fn hold_answer(&self, method: Method, nth: u64) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        self.hold(method, nth, Side::After)
    }

    fn hold(&self, method: Method, nth: u64, side: Side) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((reached, hears), (release, released)) = (oneshot::channel(), oneshot::channel());
        self.plan.lock().schedule(method, nth, Step::Hold(side, reached, released));
        (hears, release)
    }

    /// While on, every call fails with [`Error::Offline`] before anything is done; running reads break off
    /// and announcements end.
    pub fn set_offline(&self, offline: bool) {
        self.offline.send_replace(offline);
    }

    /// Forgets all plans and is online again. Counts and log stay.
    pub fn clear(&self) {
        self.set_offline(false);
        let mut plan = self.plan.lock();
        plan.script.clear();
        plan.always.clear();
        plan.random = None;
    }

    /// How often a method was called, struck or not.
    #[must_use]
    pub fn calls(&self, method: Method) -> u64 {
        self.plan.lock().calls.get(&method).copied().unwrap_or(0)
    }

    /// What was injected, in order. The offline switch and crash points are not in it.
    #[must_use]
    pub fn injected(&self) -> Vec<Injected> {
        self.plan.lock().injected.clone()
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs a call under the plan. `Truncate` is for the caller to honour.
    async fn through<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<(T, Option<u64>)> {
        if *self.offline.borrow() {
            self.plan.lock().count(method);
            return Err(switched_off());
        }
        let step = self.plan.lock().next(self.seed, method);
        match step {
            None => Ok((call.await?, None)),
            Some(Step::Act(Action::Offline)) => Err(Error::Offline("injected".into())),
            Some(Step::Act(Action::Unclear)) if method.mutates() => {
                Err(Error::Ambiguous("injected: an internal error".into()))
            }
            Some(Step::Act(Action::Unclear)) => Err(Error::Offline("injected".into())),
            Some(Step::Act(Action::Busy(after))) => Err(Error::Busy { after }),
            Some(Step::Act(Action::SessionLost)) => Err(Error::SessionLost),
            Some(Step::Act(Action::Refuse(why))) => Err(Error::Refused(why)),
            Some(Step::Act(Action::Delay(by))) => {
                tokio::time::sleep(by).await;
                Ok((call.await?, None))
            }
            Some(Step::Act(Action::Lost)) => {
                call.await?; // a refusal is heard
                Err(match method.mutates() {
                    true => Error::Ambiguous("injected: the answer was lost".into()),
                    false => Error::Offline("injected: the answer was lost".into()),
                })
            }
            Some(Step::Act(Action::Truncate(after))) if method == Method::Read => {
                Ok((call.await?, Some(after)))
            }
            Some(Step::Act(Action::Truncate(_))) => Err(Error::Offline("injected".into())),
            Some(Step::Hold(Side::Before, reached, released)) => {
                let _ = reached.send(()); // the test may have stopped listening
                let _ = released.await; // or be over
                Ok((call.await?, None))
            }
            Some(Step::Hold(Side::After, reached, released)) => {
                let answer = call.await?;
                let _ = reached.send(());
                let _ = released.await;
                Ok((answer, None))
            }
            Some(Step::Park(side, reached)) => {
                if side == Side::After {
                    call.await?;
                }
                let _ = reached.send(()); // the test may have stopped listening
                std::future::pending().await
            }
        }
    }

    async fn run<T>(&self, method: Method, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        Ok(self.through(method, call).await?.0)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failures were injected with seed {:#x}", self.seed);
        }
    }
}

fn switched_off() -> Error {
    Error::Offline("injected: switched off".into())
}

impl Plan {
    fn schedule(&mut self, method: Method, nth: u64, step: Step) {
        let done = self.calls.get(&method).copied().unwrap_or(0);
        self.script.insert((method, done + nth), step);
    }

    fn count(&mut self, method: Method) -> u64 {
        let calls = self.calls.entry(method).or_insert(0);
        *calls += 1;
        *calls
    }

    fn next(&mut self, seed: u64, method: Method) -> Option<Step> {
        let call = self.count(method);
        let step = self.script.remove(&(method, call));
        let step = step.or_else(|| self.always.get(&method).map(|a| Step::Act(*a)));
        let step = step.or_else(|| self.random.as_ref()?.draw(seed, method, call).map(Step::Act));
        if let Some(Step::Act(action)) = step {
            self.injected.push(Injected { method, call, action });
        }
        step
    }
}

impl Random {
    fn draw(&self, seed: u64, method: Method, call: u64) -> Option<Action> {
        if !self.methods.contains(&method) {
            return None;
        }
        let which = Method::ALL.iter().position(|m| *m == method).unwrap_or(0) as u64;
        let mut dice = rng::Rng::new(seed ^ rng::mix(which << 48 | call));
        if dice.below(1000) >= u64::from(self.per_mille) {
            return None;
        }
        let n = usize::try_from(dice.below(self.actions.len() as u64)).ok()?;
        self.actions.get(n).copied()
    }
}

#[async_trait]
impl Remote for Fault {
    fn account(&self) -> Account {
        self.inner.account()
    }

    async fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
        self.run(Method::List, self.inner.list(folder)).await
    }

    async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page> {
        self.run(Method::Changes, self.inner.changes(kind, scope, from)).await
    }

    async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>> {
        self.run(Method::Newest, self.inner.newest(kind)).await
    }

    async fn stamp_at(&self, kind: Kind, skip: u64) -> Result<Option<Timestamp>> {
        self.run(Method::StampAt, self.inner.stamp_at(kind, skip)).await
    }

    async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
        self.run(Method::Stat, self.inner.stat(kind, id)).await
    }

    async fn versions(&self, id: &NodeId) -> Result<u64> {
        self.run(Method::Versions, self.inner.versions(id)).await
    }

    async fn trashed(&self) -> Result<Vec<Row>> {
        self.run(Method::Trashed, self.inner.trashed()).await
    }

    async fn find_all(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>> {
        self.run(Method::Find, self.inner.find_all(folder, displays)).await
    }

    async fn read(&self, of: &Version, size: u64, range: Range<u64>, urgency: Urgency) -> Result<ByteStream> {
        let (stream, cut) = self.through(Method::Read, self.inner.read(of, size, range, urgency)).await?;
        let stream = stream::while_online(stream, self.offline.subscribe());
        Ok(match cut {
            Some(after) => stream::truncated(stream, after),
            None => stream,
        })
    }

    async fn prepare(&self, of: &Version, urgency: Urgency) -> Result<()> {
        self.run(Method::Prepare, self.inner.prepare(of, urgency)).await
    }

    async fn verify(&self, of: &Version, body: Body) -> Result<()> {
        self.run(Method::Verify, self.inner.verify(of, body)).await
    }

    async fn put(&self, bucket: Option<&str>, body: Body) -> Result<Version> {
        self.run(Method::Put, self.inner.put(bucket, body)).await
    }

    async fn discard(&self, version: &Version) -> Result<()> {
        self.run(Method::Discard, self.inner.discard(version)).await
    }

    async fn thumbnails(&self, folder: &NodeId, skip: u64) -> Result<Thumbnails> {
        self.run(Method::Thumbnails, self.inner.thumbnails(folder, skip)).await
    }

    async fn thumbnail(&self, of: &Version) -> Result<Bytes> {
        self.run(Method::Thumbnail, self.inner.thumbnail(of)).await
    }

    async fn set_thumbnail(&self, id: &NodeId, bucket: Option<&str>, png: Bytes) -> Result<Version> {
        self.run(Method::SetThumbnail, self.inner.set_thumbnail(id, bucket, png)).await
    }

    async fn create(&self, file: &NewFile) -> Result<Row> {
        self.run(Method::Create, self.inner.create(file)).await
    }

    async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row> {
        self.run(Method::Replace, self.inner.replace(id, with)).await
    }

    async fn mkdir(
        &self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row> {
        self.run(Method::Mkdir, self.inner.mkdir(parent, name, modified, created)).await
    }

    async fn relocate(&self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row> {
        self.run(Method::Relocate, self.inner.relocate(kind, id, parent, name)).await
    }

    async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()> {
        self.run(Method::Trash, self.inner.trash(items)).await
    }

    async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()> {
        self.run(Method::Delete, self.inner.delete(kind, id)).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.run(Method::Usage, self.inner.usage()).await
    }

    async fn limits(&self) -> Result<Limits> {
        self.run(Method::Limits, self.inner.limits()).await
    }

    async fn events(&self) -> Result<EventStream> {
        let events = self.run(Method::Events, self.inner.events()).await?;
        let until = events.take_until(stream::switched_off(self.offline.subscribe())).boxed();
        // As a connection's stream, it is not to be asked again after its end.
        Ok(futures_util::stream::unfold(until, |mut s| async move { s.next().await.map(|e| (e, s)) }).boxed())
    }
}
