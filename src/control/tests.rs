//! Client and server over a mount made of closures.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::client::Client;
use super::server::{Served, Server, Stuck};
use super::wire::{self, Envelope, Identity, Reply, Request};
use super::{Error, place};
use crate::fs::{SessionState, Status, Totals};

fn status(items: u64) -> Status {
    Status {
        account: "me@example.com".to_owned(),
        session: SessionState::Online,
        totals: Totals { items, ..Totals::default() },
        queue: Vec::new(),
        bandwidth: crate::fs::Bandwidth::default(),
        cache_used: 0,
        cache_size: 0,
        pinned: crate::fs::Pinned::default(),
        staged: 0,
        paused: false,
        traffic: crate::fs::Traffic::default(),
        quota_used: None,
        quota_total: None,
        hydrated: true,
        last_sync: None,
        warning: None,
        brake: None,
        lost: Vec::new(),
        conflicts: crate::fs::Conflicts::default(),
        nodes: 1,
    }
}

/// A mount with `left` items to send; a drain ends when `sent` is notified, with `after` items left.
struct Fake {
    left: Arc<AtomicU64>,
    sent: Arc<Notify>,
    after: u64,
    busy: bool,
    unmounts: Arc<AtomicU64>,
}

impl Fake {
    fn new(left: u64, after: u64) -> Self {
        let sent = Arc::new(Notify::new());
        Fake { left: Arc::new(left.into()), sent, after, busy: false, unmounts: Arc::default() }
    }

    fn serve(&self, dir: &Path, mountpoint: &Path) -> Server {
        let identity = Identity {
            v: wire::VERSION,
            pid: std::process::id(),
            mountpoint: mountpoint.display().to_string(),
            program: "test".to_owned(),
            read_only: false,
            profile: None,
        };
        let (left, drained) = (Arc::clone(&self.left), Arc::clone(&self.left));
        let (sent, after, busy) = (Arc::clone(&self.sent), self.after, self.busy);
        let unmounts = Arc::clone(&self.unmounts);
        let served = Served {
            identity,
            fs: None,
            status: Box::new(move || status(left.load(Ordering::SeqCst))),
            drain: Box::new(move || {
                let (left, sent) = (Arc::clone(&drained), Arc::clone(&sent));
                Box::pin(async move {
                    sent.notified().await;
                    left.store(after, Ordering::SeqCst);
                    status(after)
                })
            }),
            decide: Box::new(|_| Box::pin(async { Reply::Resumed { deletes: 7 } })),
            unmount: Box::new(move |_| {
                unmounts.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move { if busy { Err(Stuck::Busy("vim".to_owned())) } else { Ok(()) } })
            }),
        };
        Server::start(dir, served).unwrap()
    }
}

struct Room {
    _tmp: tempfile::TempDir,
    dir: PathBuf,
    mountpoint: PathBuf,
    client: Client,
}

fn room() -> Room {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("run");
    let mountpoint = place::canonical(&tmp.path().join("drive"));
    std::fs::create_dir(&mountpoint).unwrap();
    Room { client: Client::new(vec![tmp.path().join("absent"), dir.clone()]), dir, mountpoint, _tmp: tmp }
}

#[tokio::test]
async fn a_mount_is_found_by_its_path_and_by_looking_around() {
    let r = room();
    assert!(matches!(r.client.ping(&r.mountpoint).await, Err(Error::NotRunning(_))));
    let server = Fake::new(3, 0).serve(&r.dir, &r.mountpoint);
    assert_eq!(std::fs::metadata(server.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(r.client.ping(&r.mountpoint).await.unwrap().pid, std::process::id());
    assert_eq!(r.client.status(&r.mountpoint).await.unwrap().status.totals.items, 3);
    assert_eq!(r.client.all().await.len(), 1);
    drop(server);
    assert!(r.client.all().await.is_empty());
    assert_eq!(std::fs::read_dir(&r.dir).unwrap().count(), 0, "the socket went with the server");
}

#[tokio::test]
async fn a_dead_socket_is_removed_and_a_live_one_is_not_taken_over() {
    let r = room();
    place::prepare(&r.dir).unwrap();
    let path = r.dir.join(place::socket_name(&r.mountpoint));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(matches!(r.client.status(&r.mountpoint).await, Err(Error::NotRunning(_))));
    assert!(!path.exists(), "a look removes what nobody serves");

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let _server = Fake::new(0, 0).serve(&r.dir, &r.mountpoint);
    assert!(r.client.ping(&r.mountpoint).await.is_ok());
    let identity = r.client.ping(&r.mountpoint).await.unwrap();
    let second = Served {
        identity,
        fs: None,
        status: Box::new(|| status(0)),
        drain: Box::new(|| Box::pin(async { status(0) })),
        unmount: Box::new(|_| Box::pin(async { Ok(()) })),
        decide: Box::new(|_| Box::pin(async { Reply::Resumed { deletes: 0 } })),
    };
    assert!(matches!(Server::start(&r.dir, second), Err(Error::Refused(_))));
    assert!(r.client.ping(&r.mountpoint).await.is_ok(), "the first one still answers");
}

#[tokio::test]
async fn a_drain_tells_how_far_it_is_and_what_is_left() {
    let r = room();
    let fake = Fake::new(5, 2);
    let _server = fake.serve(&r.dir, &r.mountpoint);
    let mut seen = Vec::new();
    let last = r
        .client
        .drain(&r.mountpoint, |s| {
            seen.push(s.totals.items);
            fake.sent.notify_one();
        })
        .await
        .unwrap();
    assert_eq!(seen.first(), Some(&5));
    assert_eq!(last.totals.items, 2);
}

#[tokio::test]
async fn a_client_that_stops_waiting_does_not_unmount() {
    let r = room();
    let fake = Fake::new(5, 0);
    let _server = fake.serve(&r.dir, &r.mountpoint);
    let seen = Arc::new(Notify::new());
    let told = Arc::clone(&seen);
    tokio::select! {
        done = r.client.unmount(&r.mountpoint, false, |_| told.notify_one()) => panic!("{done:?}"),
        () = seen.notified() => {}
    }
    // The hang-up is seen before anything else of this connection: then a late end of the drain changes nothing.
    while Arc::strong_count(&fake.sent) > 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fake.sent.notify_one();
    assert!(r.client.ping(&r.mountpoint).await.is_ok());
    assert_eq!(fake.unmounts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_unmount_waits_for_the_queue_and_refuses_while_something_is_left() {
    let r = room();
    let fake = Fake::new(5, 1);
    let _server = fake.serve(&r.dir, &r.mountpoint);
    fake.sent.notify_one();
    let left = r.client.unmount(&r.mountpoint, false, |_| ()).await.unwrap();
    assert_eq!(left.map(|s| s.totals.items), Some(1));
    assert_eq!(fake.unmounts.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_decision_on_deletes_is_carried_to_the_mount_and_back() {
    let r = room();
    let _server = Fake::new(0, 0).serve(&r.dir, &r.mountpoint);
    assert_eq!(r.client.resume(&r.mountpoint).await.unwrap(), 7);
}

#[tokio::test]
async fn open_files_keep_the_mount() {
    let r = room();
    let fake = Fake { busy: true, ..Fake::new(0, 0) };
    let _server = fake.serve(&r.dir, &r.mountpoint);
    let refused = r.client.unmount(&r.mountpoint, true, |_| ()).await;
    assert!(matches!(refused, Err(Error::Busy(why)) if why == "vim"));
}

#[test]
fn an_unmount_returns_when_the_process_has_ended() {
    let r = room();
    let mount = tokio::runtime::Runtime::new().unwrap();
    let fake = Fake::new(5, 0);
    let server = {
        let _in = mount.enter();
        fake.serve(&r.dir, &r.mountpoint)
    };
    let unmounts = Arc::clone(&fake.unmounts);
    let client = r.client.clone();
    let mountpoint = r.mountpoint.clone();
    let command = std::thread::spawn(move || {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(client.unmount(&mountpoint, true, |_| ())).map(|left| left.is_none())
    });
    while unmounts.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!command.is_finished(), "local state is not closed yet");
    drop(server);
    drop(mount);
    assert!(command.join().unwrap().unwrap());
}

#[tokio::test]
async fn nonsense_is_answered_and_another_version_is_named() {
    let r = room();
    let server = Fake::new(0, 0).serve(&r.dir, &r.mountpoint);
    for (line, wanted) in [("{\"v\":7,\"ask\":\"ping\"}\n", "version"), ("what?\n", "refused")] {
        let mut stream = tokio::net::UnixStream::connect(server.path()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, line.as_bytes()).await.unwrap();
        let mut from = tokio::io::BufReader::new(stream);
        let reply: serde_json::Value = wire::receive(&mut from, wire::MAX_REPLY).await.unwrap().unwrap();
        assert_eq!(reply["reply"], wanted, "{line}");
    }
    let ping = Envelope::new(Request::Ping).unwrap();
    assert!(matches!(ping.open(), Ok(Request::Ping)));
    assert!(serde_json::to_string(&Reply::Unmounting).unwrap().contains("unmounting"));
}
