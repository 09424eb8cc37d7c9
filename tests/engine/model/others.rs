//! The rest of a life: sending and looking, ends and starts, the other client, and what must hold then.

use std::time::Duration;

use bytes::Bytes;
use inxtfs::fs::{QueueItem, Status};
use inxtfs::names::RemoteName;
use inxtfs::remote::fault::Side;
use inxtfs::remote::{Body, Error, Method, NewFile, Replacement};
use inxtfs::types::{Kind, NodeId, Row};

use super::super::harness::{PATIENCE, eventually};
use super::lives::Life;
use super::reference::{Entry, File, Reference, short};
use super::world::{files, lies_below, rows_below};

/// What the service does late is done after this long of sending.
const JOBS: Duration = Duration::from_secs(1);

/// Where a request may be when the process dies.
const DEATHS: [Method; 9] = [
    Method::Put,
    Method::Create,
    Method::Create,
    Method::Replace,
    Method::Mkdir,
    Method::Relocate,
    Method::Trash,
    Method::Find,
    Method::Changes,
];
const NAMES: [&str; 6] = ["a", "b", "c.txt", "d", "e.x.y", "f.pdf"];

impl Life {
    // Sending and looking.

    /// Sends all that can be sent.
    pub fn drain(&mut self) {
        if self.offline {
            return;
        }
        // What is open for writing is not sent, and waited for a good while: seldom.
        if !self.dice.one_in(16) {
            for at in (0..self.open.len()).rev().filter(|at| self.open[*at].flags.write).collect::<Vec<_>>() {
                self.close(at);
            }
        }
        let rough = !self.dice.one_in(3);
        self.note(format!("drain, rough: {rough}"));
        if rough {
            self.world.rough(&self.e, &mut self.dice);
        }
        self.send();
        self.all_acknowledged();
        self.world.fair(&self.e);
        self.look();
        let harm = self.world.harm();
        assert!(harm.is_empty(), "{}", harm.join("\n"));
    }

    fn send(&self) -> Status {
        let fs = self.e.fs().clone();
        self.e.block_on(async {
            let mut draining = std::pin::pin!(tokio::time::timeout(PATIENCE * 9 / 10, fs.drain()));
            // What lies below a folder that was deleted for good cannot be moved until the service has deleted it, too.
            let mut jobs = std::pin::pin!(tokio::time::sleep(JOBS));
            let mut done_late = false;
            loop {
                tokio::select! {
                    () = &mut jobs, if !done_late => {
                        self.world.settle();
                        done_late = true;
                    }
                    done = &mut draining => return done.unwrap_or_else(|_| panic!("stuck: {:#?}", fs.status())),
                    () = tokio::time::sleep(Duration::from_millis(2)) => self.world.tick(),
                }
            }
        })
    }

    /// A drain, a sync and an end in order acknowledge what is open, too.
    fn all_acknowledged(&mut self) {
        let inos: Vec<_> = self.plain.files.keys().copied().collect();
        inos.into_iter().for_each(|ino| self.acknowledged(ino));
    }

    /// Sending has begun when the next steps are made. With another client about, what it finds would change the view at
    /// any time.
    pub fn nudge(&mut self) {
        if self.offline || !self.alone {
            return;
        }
        let patience = Duration::from_millis(self.dice.below(8) as u64);
        self.note(format!("nudge {patience:?}"));
        let fs = self.e.fs().clone();
        let _ = self.e.block_on(async { tokio::time::timeout(patience, fs.drain()).await });
        self.all_acknowledged_maybe();
    }

    /// A drain that was not waited for may have journalled everything, or nothing yet.
    fn all_acknowledged_maybe(&mut self) {
        let unsure: Vec<_> =
            self.plain.files.iter().filter(|(_, f)| f.since.len() > 1).map(|(i, _)| *i).collect();
        for ino in unsure {
            let safe = self.plain.files.get_mut(&ino).unwrap().safe.take();
            self.loses(safe);
        }
    }

    /// Looks at the feeds, so that none is looked at between two steps; takes what they showed for given.
    pub fn look(&mut self) {
        if !self.offline {
            // A look that fails shows nothing.
            self.world.fair(&self.e);
            self.e.polls(1);
            self.resync();
        }
    }

    /// What others did is seen now. It must be in order, and is what the next steps start from.
    pub fn resync(&mut self) {
        if !self.alone {
            self.take_over();
        }
    }

    pub fn take_over(&mut self) {
        for open in &self.open {
            let wanted = self.plain.files[&open.ino].bytes.clone().unwrap();
            let got = self.e.read_fh(open.fh, 0, wanted.len() + 10).unwrap();
            assert!(got == wanted, "open {}: {} became {}", open.ino, short(&wanted), short(&got));
        }
        let mut plain = Reference::default();
        for (path, attr) in self.walk() {
            plain.names.insert(path.clone(), Entry { kind: attr.kind, ino: attr.ino });
            if attr.kind == Kind::Folder {
                continue;
            }
            let before = self.plain.files.remove(&attr.ino);
            let bytes = match self.e.read(&path) {
                Ok(bytes) => Some(bytes),
                Err(e) => {
                    self.log.push(format!("  {path} cannot be read: {e}"));
                    None
                }
            };
            if let Some(bytes) = &bytes {
                assert!(self.known.contains(bytes), "{path} shows what nobody wrote: {}", short(bytes));
            }
            let file = match before.filter(|b| b.bytes == bytes) {
                // The time may be another now: the server keeps milliseconds, and others change it.
                Some(same) => File { mtime: None, ..same },
                None => File::holding(bytes),
            };
            plain.files.insert(attr.ino, file);
        }
        for open in &self.open {
            if let Some(nameless) = self.plain.files.remove(&open.ino) {
                plain.files.entry(open.ino).or_insert(nameless);
            }
        }
        self.plain = plain;
    }

    // Ends and starts.

    /// An end in order, and a start without network: all is there.
    pub fn restart(&mut self) {
        self.note("restart".to_owned());
        self.all_acknowledged();
        self.e.stop();
        self.start(true);
    }

    /// An end at a bad moment.
    pub fn crash(&mut self) {
        let method = self.dice.of(&DEATHS).filter(|_| !self.offline && !self.dice.one_in(3));
        let side = if self.dice.one_in(2) { Side::Before } else { Side::After };
        self.note(format!("crash at {method:?} {side:?}"));
        if let Some(method) = method {
            let nth = 1 + self.dice.below(2) as u64;
            let reached = self.e.fault.crash_at(method, nth, side);
            let fs = self.e.fs().clone();
            self.e.block_on(async {
                let mut draining = std::pin::pin!(tokio::time::timeout(PATIENCE, fs.drain()));
                let mut reached = std::pin::pin!(reached);
                loop {
                    tokio::select! {
                        _ = &mut reached => break,
                        _ = &mut draining => break,
                        () = tokio::time::sleep(Duration::from_millis(2)) => self.world.tick(),
                    }
                }
            });
            if self.eager {
                self.all_acknowledged_maybe();
            } else {
                self.all_acknowledged();
            }
        }
        self.e.kill();
        self.e.fault.clear();
        self.world.fair(&self.e);
        // What was being sent has shown what others did.
        self.start(self.alone || method.is_none());
    }

    fn start(&mut self, as_it_was: bool) {
        self.open.clear();
        self.plain.forget_nameless();
        self.world.reconnect(&mut self.e);
        self.unplug(true);
        self.e.start();
        if as_it_was {
            self.after_the_end();
            if !self.alone && self.difference().is_some() {
                self.note("before its end it saw something".to_owned());
                self.resync();
            }
            self.compare();
        }
        self.unplug(self.offline);
        self.look();
    }

    /// Of what was not closed, any state since the last close may be there.
    fn after_the_end(&mut self) {
        for (path, entry) in self.plain.names.clone() {
            if entry.kind == Kind::Folder || self.plain.files[&entry.ino].since.len() < 2 {
                continue;
            }
            let got = match self.e.read(&path) {
                Ok(got) => Some(got),
                Err(inxtfs::fs::Error::Offline) => None,
                Err(e) => panic!("{path}: {e}"),
            };
            let file = self.plain.files.get_mut(&entry.ino).unwrap();
            if let Some(got) = &got {
                assert!(file.since.contains(got), "{path} is {} after the end", short(got));
            }
            (file.bytes, file.mtime) = (got, None);
            let (before, now) = self.plain.journalled(entry.ino);
            self.loses(before);
            self.gains(now);
        }
    }

    /// All handles are closed, the weather is fair: both sides come to rest, and agree.
    pub fn end(&mut self) {
        while let Some(last) = self.open.len().checked_sub(1) {
            self.close(last);
        }
        self.note("heal".to_owned());
        self.e.fault.clear();
        self.unplug(false);
        self.world.fair(&self.e);
        self.offline = false;
        // The session is known to be good again: a drain gives up at once while it is not.
        self.e.polls(1);
        for _ in 0..3 {
            let status = self.send();
            if status.totals.items > 0 && !self.alone && status.queue.iter().all(lost_base) {
                return;
            }
            assert_eq!(status.totals.items, 0, "{:#?}", status.queue);
            self.e.polls(2);
        }
        // What was not merged while a request was unresolved is read again a while later.
        for _ in 0..5 {
            self.resync();
            if self.here() == self.there_is() {
                break;
            }
            std::thread::sleep(self.e.config.pace * 80);
            self.e.polls(2);
            self.send();
        }
        let status = self.send();
        assert_eq!(status.totals.items, 0, "{:#?}", status.queue);
        self.resync();
        self.compare();
        assert_eq!(self.here(), self.there_is(), "here and there");
        let harm = self.world.harm();
        assert!(harm.is_empty(), "{}", harm.join("\n"));
        self.nothing_is_lost();
    }

    /// The drive's tree, for people.
    fn here(&self) -> Vec<String> {
        let bytes = |ino| self.plain.files.get(ino).and_then(|f| f.bytes.as_ref());
        let mut here: Vec<_> = self.plain.names.iter().map(|(p, e)| show(&there(p), bytes(&e.ino))).collect();
        here.sort();
        here
    }

    /// The cloud's.
    fn there_is(&self) -> Vec<String> {
        let tree = self.world.tree(&self.e).into_iter();
        let bytes = |r: &Row| self.world.content(&self.e, r).filter(|_| r.kind == Kind::File);
        let mut all: Vec<_> = tree.map(|(p, r)| show(&there(&p), bytes(&r).as_ref())).collect();
        all.sort();
        all
    }

    fn nothing_is_lost(&self) {
        let shown: Vec<_> = self.plain.files.values().filter_map(|f| f.bytes.clone()).collect();
        let rows = self.world.rows(&self.e);
        let mut kept = None;
        for bytes in self.dear.iter().filter(|b| !shown.contains(b)) {
            let kept: &Vec<_> = kept
                .get_or_insert_with(|| files(&rows).filter_map(|r| self.world.content(&self.e, r)).collect());
            let binned = self.binned.contains(bytes) && kept.contains(bytes);
            assert!(binned, "lost: {}; there: {}", short(bytes), kept.contains(bytes));
        }
    }

    // The other client.

    pub fn other(&mut self) {
        let tree = self.world.tree(&self.e);
        let root = self.e.fault_root();
        let folders = tree.iter().filter(|(_, r)| r.kind == Kind::Folder).map(|(_, r)| r.id.clone());
        let folders: Vec<_> = folders.chain([root]).collect();
        let folder = self.dice.of(&folders).unwrap();
        let name = NAMES[self.dice.below(NAMES.len())];
        // Files and folders have names of their own there, and this client does not mix them.
        if tree.iter().any(|(_, r)| r.parent.as_ref() == Some(&folder) && r.name.display() == name) {
            return;
        }
        let any = self.dice.of(&tree);
        let file =
            self.dice.of(&tree.iter().filter(|(_, r)| r.kind == Kind::File).cloned().collect::<Vec<_>>());
        let outcome = match (self.dice.below(9), file, any) {
            (0 | 1, ..) => self.other_creates(&folder, name),
            (2, ..) => {
                self.note(format!("other: mkdir {name} in {folder}"));
                let now = inxtfs::types::Timestamp::now();
                self.there(|r| Box::pin(async move { r.mkdir(&folder, name, now, now).await.map(|_| ()) }))
            }
            (3, _, Some((path, row))) if !lies_below(&tree, &row.id, &folder) => {
                self.note(format!("other: move {path} to {name} in {folder}"));
                let name =
                    if row.kind == Kind::File { RemoteName::split(name) } else { RemoteName::whole(name) };
                self.there(|r| {
                    Box::pin(async move { r.relocate(row.kind, &row.id, &folder, &name).await.map(|_| ()) })
                })
            }
            (4..=6, Some((path, row)), _) => self.other_writes(&path, &row),
            (7, _, Some((path, row))) => self.other_removes(&path, &row, false),
            (8, _, Some((path, row))) if self.dice.one_in(2) => self.other_removes(&path, &row, true),
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => {}
            Err(Error::Exists | Error::NotFound | Error::Ambiguous(_)) => self.note("  refused".to_owned()),
            Err(e) => panic!("the other client: {e}"),
        }
    }

    fn there<T>(
        &self,
        call: impl FnOnce(
            std::sync::Arc<dyn inxtfs::remote::Remote>,
        ) -> std::pin::Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> T {
        let call = call(self.world.second());
        match self.world.runtime() {
            Some(rt) => rt.block_on(async { tokio::time::timeout(PATIENCE, call).await.unwrap() }),
            None => self.e.block_on(call),
        }
    }

    fn other_creates(&mut self, folder: &NodeId, name: &str) -> Result<(), Error> {
        let bytes = self.fresh();
        self.note(format!("other: create {name} in {folder} {}", short(&bytes)));
        let (folder, name, body) = (folder.clone(), RemoteName::split(name), bytes.clone());
        let now = inxtfs::types::Timestamp::now();
        self.there(|r| {
            Box::pin(async move {
                let size = body.len() as u64;
                let content = Some(r.put(None, Body::from_bytes(body)).await?);
                r.create(&NewFile { parent: folder, name, content, size, modified: now, created: now }).await
            })
        })?;
        self.gains(Some(bytes));
        Ok(())
    }

    /// The service has no precondition on writes: what lands between a client's last look at a row and its replace is overwritten.
    /// So no push is under way while the other one writes.
    fn between_requests(&mut self) {
        self.unplug(true);
        eventually("no push is under way", || self.e.fs().status().totals.sending == 0);
    }

    fn other_writes(&mut self, path: &str, row: &Row) -> Result<(), Error> {
        self.between_requests();
        let current = self.world.rows(&self.e).into_iter().find(|r| r.id == row.id && r.status == row.status);
        let written = current.map_or(Err(Error::NotFound), |row| self.other_replaces(path, &row));
        self.unplug(self.offline);
        written
    }

    fn other_replaces(&mut self, path: &str, row: &Row) -> Result<(), Error> {
        let former = self.world.content(&self.e, row);
        let bytes = self.fresh();
        self.note(format!("other: write {path} {}", short(&bytes)));
        let (row, body) = (row.clone(), bytes.clone());
        self.there(|r| {
            Box::pin(async move {
                let size = body.len() as u64;
                let content = Some(r.put(row.bucket.as_deref(), Body::from_bytes(body)).await?);
                let with =
                    Replacement::new(row.content.clone(), content, size, inxtfs::types::Timestamp::now())?;
                match r.replace(&row.id, &with).await {
                    // The service has internal errors after it replaced nothing.
                    Err(Error::Ambiguous(_)) | Ok(_) => Ok(()),
                    Err(e) => Err(e),
                }
            })
        })?;
        self.loses(former);
        self.gains(Some(bytes));
        Ok(())
    }

    fn other_removes(&mut self, path: &str, row: &Row, for_good: bool) -> Result<(), Error> {
        self.note(format!("other: {} {path}", if for_good { "delete" } else { "trash" }));
        let (kind, id) = (row.kind, row.id.clone());
        let before = self.contents_below(&id);
        let call_id = id.clone();
        self.there(|r| {
            Box::pin(async move {
                if for_good { r.delete(kind, &call_id).await } else { r.trash(&[(kind, call_id)]).await }
            })
        })?;
        if !for_good {
            // What we were sending may have arrived just before.
            let all = before.into_iter().chain(self.contents_below(&id)).filter_map(|(_, bytes)| bytes);
            self.binned.extend(all.filter(|b| self.dear.contains(b)).collect::<Vec<_>>());
            return Ok(());
        }
        let rows = self.world.rows(&self.e);
        let known = |r: &&Row| before.iter().any(|(seen, _)| seen.id == r.id && seen.content == r.content);
        if !rows_below(&rows, &id).iter().filter(|r| r.kind == Kind::File).all(known) {
            self.forget_what_is_nowhere(&rows);
        }
        before.into_iter().for_each(|(_, bytes)| self.loses(bytes));
        if row.kind == Kind::Folder {
            // With it goes what was put into the trash from below it; where that lay is not kept here.
            for bytes in std::mem::take(&mut self.binned) {
                self.dear.remove(&bytes);
            }
        }
        if self.dice.one_in(2) {
            self.world.settle();
        }
        Ok(())
    }

    /// The files at or below a row that a delete of it takes along.
    fn contents_below(&self, top: &NodeId) -> Vec<(Row, Option<Bytes>)> {
        let rows = self.world.rows(&self.e);
        let below = rows_below(&rows, top).into_iter();
        let lives =
            |r: &&Row| r.kind == Kind::File && (r.status == inxtfs::types::Status::Exists || r.id == *top);
        below.filter(lives).map(|r| (r.clone(), self.world.content(&self.e, r))).collect()
    }

    /// Something that had just arrived was deleted for good with the rest: it cannot be asked for any more.
    fn forget_what_is_nowhere(&mut self, rows: &[Row]) {
        let there: Vec<_> = files(rows).filter_map(|r| self.world.content(&self.e, r)).collect();
        let here: Vec<_> = self.plain.files.values().filter_map(|f| f.bytes.clone()).collect();
        self.dear.retain(|b| there.contains(b) || here.contains(b));
    }
}

/// A path without stand-ins: a file and a folder may have one name in the cloud; here one of them shows under another,
/// which is its name there, too, once it is made anew.
fn there(path: &str) -> String {
    let mut path = path.to_owned();
    while let Some(end) = path.find(')') {
        let Some(start) = path[..end].rfind(" (").filter(|s| end - s == 38) else { break };
        path.replace_range(start..=end, "");
    }
    path
}

fn show(path: &str, bytes: Option<&Bytes>) -> String {
    format!("{path}: {}", bytes.map_or("/".to_owned(), short))
}

/// The base of a copy (a rename over another file) was replaced or deleted for good by the other before it could be
/// fetched: its bytes are nowhere, and the item says so.
fn lost_base(i: &QueueItem) -> bool {
    i.error.as_ref().is_some_and(|e| e.contains("cannot be read"))
}

impl super::super::harness::Engine {
    /// The root there.
    pub fn fault_root(&self) -> NodeId {
        inxtfs::remote::Remote::account(&*self.fault).root
    }
}
