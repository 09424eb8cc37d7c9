//! One client of the account: [`Remote`] over the shared state.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast::error::RecvError;

use super::calls::{Call, LOG_MAX};
use super::state::State;
use crate::names::RemoteName;
use crate::remote::{
    Account, Body, ByteStream, Cursor, Error, Event, EventStream, Limits, Method, NewFile, Page, Remote,
    Replacement, Result, Row, Scope, Usage,
};
use crate::types::{Kind, NodeId, Timestamp, Urgency, Version};

/// Bodies are read in ranges of this size.
const STEP: u64 = 1 << 20;

/// A client of a [`super::Memory`].
pub struct MemoryRemote {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) name: String,
    /// Tells this client's own announcements from the others'.
    pub(super) number: u64,
}

impl MemoryRemote {
    fn call(&self, method: Method) -> Call {
        Call::new(&self.name, method)
    }

    /// Logs the call and takes the state.
    fn enter(&self, call: Call) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        log(&mut state, call);
        state
    }

    /// Tells the others if `result` is a success.
    fn tell<T>(&self, state: &State, result: Result<T>) -> Result<T> {
        if result.is_ok() {
            state.announce(self.number, Event::Changed);
        }
        result
    }
}

fn log(state: &mut State, call: Call) {
    if state.calls.len() == LOG_MAX {
        state.calls.pop_front();
    }
    state.calls.push_back(call);
}

/// Everything a body has, exactly as long as it says.
async fn read_fully(body: &Body) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    let mut at = 0;
    while at < body.size {
        let end = body.size.min(at + STEP);
        let part = (body.read)(at..end).await?;
        if part.len() as u64 != end - at {
            return Err(Error::Local(std::io::ErrorKind::UnexpectedEof.into()));
        }
        bytes.extend_from_slice(&part);
        (body.progress)(end - at);
        at = end;
    }
    Ok(bytes.freeze())
}

#[async_trait]
impl Remote for MemoryRemote {
    fn account(&self) -> Account {
        self.state.lock().account.clone()
    }

    async fn list(&self, folder: &NodeId) -> Result<Vec<Row>> {
        self.enter(self.call(Method::List).id(folder)).list(folder)
    }

    async fn changes(&self, kind: Kind, scope: Scope, from: Cursor) -> Result<Page> {
        Ok(self.enter(self.call(Method::Changes)).changes(kind, scope, from))
    }

    async fn newest(&self, kind: Kind) -> Result<Option<(NodeId, Timestamp)>> {
        Ok(self.enter(self.call(Method::Newest)).newest(kind))
    }

    async fn stamp_at(&self, kind: Kind, skip: u64) -> Result<Option<Timestamp>> {
        Ok(self.enter(self.call(Method::StampAt)).stamp_at(kind, skip))
    }

    async fn stat(&self, kind: Kind, id: &NodeId) -> Result<Row> {
        self.enter(self.call(Method::Stat).id(id)).stat(kind, id)
    }

    async fn versions(&self, id: &NodeId) -> Result<u64> {
        self.enter(self.call(Method::Versions).id(id)).versions(id)
    }

    async fn trashed(&self) -> Result<Vec<Row>> {
        Ok(self.enter(self.call(Method::Trashed)).trashed())
    }

    async fn find_all(&self, folder: &NodeId, displays: &[String]) -> Result<Vec<Row>> {
        self.enter(self.call(Method::Find).id(folder).name(displays.join("/"))).find(folder, displays)
    }

    async fn read(&self, of: &Version, size: u64, range: Range<u64>, urgency: Urgency) -> Result<ByteStream> {
        let call = self.call(Method::Read).object(Some(of)).range(&range, urgency);
        let pieces = self.enter(call).read(of, size, range)?;
        Ok(stream::iter(pieces).boxed())
    }

    async fn prepare(&self, of: &Version, _: Urgency) -> Result<()> {
        let state = self.enter(self.call(Method::Prepare).object(Some(of)));
        state.objects.get(of).map(|_| ()).ok_or(Error::NotFound)
    }

    async fn verify(&self, of: &Version, body: Body) -> Result<()> {
        let object = self.enter(self.call(Method::Verify).object(Some(of))).objects.get(of).cloned();
        let object = object.ok_or(Error::NotFound)?;
        if object.pristine.len() as u64 != body.size || read_fully(&body).await? != object.pristine {
            return Err(Error::Corrupt("the local bytes are not those that were uploaded".into()));
        }
        Ok(())
    }

    async fn put(&self, bucket: Option<&str>, body: Body) -> Result<Version> {
        if body.size == 0 {
            return Err(Error::Protocol("an upload has at least one byte".into()));
        }
        let bucket = self.enter(self.call(Method::Put)).start_upload(bucket, body.size)?;
        let bytes = read_fully(&body).await?;
        Ok(self.state.lock().finish_upload(&bucket, bytes))
    }

    async fn discard(&self, version: &Version) -> Result<()> {
        self.enter(self.call(Method::Discard).object(Some(version))).objects.remove(version);
        Ok(())
    }

    async fn create(&self, file: &NewFile) -> Result<Row> {
        let call = self.call(Method::Create).id(&file.parent).name(file.name.display());
        let mut state = self.enter(call.object(file.content.as_ref()));
        let result = state.create(file);
        self.tell(&state, result)
    }

    async fn replace(&self, id: &NodeId, with: &Replacement) -> Result<Row> {
        let mut state = self.enter(self.call(Method::Replace).id(id).object(with.content()));
        let result = state.replace(id, with);
        self.tell(&state, result)
    }

    async fn mkdir(
        &self,
        parent: &NodeId,
        name: &str,
        modified: Timestamp,
        created: Timestamp,
    ) -> Result<Row> {
        let mut state = self.enter(self.call(Method::Mkdir).id(parent).name(name));
        let result = state.mkdir(parent, name, modified, created);
        self.tell(&state, result)
    }

    async fn relocate(&self, kind: Kind, id: &NodeId, parent: &NodeId, name: &RemoteName) -> Result<Row> {
        let mut state = self.enter(self.call(Method::Relocate).id(id).name(name.display()));
        let result = state.relocate(kind, id, parent, name);
        self.tell(&state, result)
    }

    async fn trash(&self, items: &[(Kind, NodeId)]) -> Result<()> {
        let mut state = self.state.lock();
        for (_, id) in items {
            log(&mut state, self.call(Method::Trash).id(id));
        }
        state.trash(items);
        self.tell(&state, Ok(()))
    }

    async fn delete(&self, kind: Kind, id: &NodeId) -> Result<()> {
        let mut state = self.enter(self.call(Method::Delete).id(id));
        let result = state.delete(kind, id);
        self.tell(&state, result)
    }

    async fn usage(&self) -> Result<Usage> {
        Ok(self.enter(self.call(Method::Usage)).usage())
    }

    async fn limits(&self) -> Result<Limits> {
        Ok(Limits { max_file: self.enter(self.call(Method::Limits)).plan.max_file })
    }

    async fn events(&self) -> Result<EventStream> {
        let heard = self.enter(self.call(Method::Events)).events.as_ref().map(|e| e.subscribe());
        let heard = heard.ok_or_else(|| Error::Offline("the service announces nothing".into()))?;
        let own = self.number;
        let later = stream::unfold(heard, move |mut heard| async move {
            loop {
                match heard.recv().await {
                    Ok((by, _)) if by == own => {}
                    Ok((_, event)) => return Some((event, heard)),
                    Err(RecvError::Lagged(_)) => return Some((Event::Changed, heard)),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(stream::iter([Event::Connected]).chain(later).boxed())
    }
}
