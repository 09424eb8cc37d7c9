//! The account, and two clients of it.

use std::time::Duration;

use futures_util::StreamExt;
use inxtfs::remote::{Error, Event, Status};
use inxtfs::types::Kind;

use super::{Harness, unique};

pub async fn the_root_is_a_living_folder(h: &Harness) {
    let account = h.remote.account();
    assert_eq!(account, h.second.account());
    let root = h.remote.stat(Kind::Folder, &account.root).await.expect("stat");
    assert_eq!((root.kind, root.status, root.parent), (Kind::Folder, Status::Exists, None));
    h.remote.list(&account.root).await.expect("list");
}

pub async fn usage_and_limits_answer(h: &Harness) {
    let before = h.remote.usage().await.expect("usage");
    assert!(before.total > 0);
    let dir = h.dir().await;
    h.file(&dir, "a.bin", &[7; 1000]).await;
    let after = h.remote.usage().await.expect("usage");
    assert!(after.used >= before.used + 1000, "a new file counts at once: {before:?} {after:?}");
    assert_eq!(after.total, before.total);
    let limits = h.remote.limits().await.expect("limits");
    assert!(limits.max_file.is_none_or(|max| max > 1000));
}

pub async fn changes_of_one_client_are_seen_by_the_other(h: &Harness) {
    let dir = h.dir().await;
    let file = h.file(&dir, "a.txt", b"one").await;
    let seen = h.second.list(&dir).await.expect("list");
    assert_eq!(seen.iter().map(|r| &r.id).collect::<Vec<_>>(), [&file.id]);
    h.second.trash(&[(Kind::File, file.id.clone())]).await.expect("trash");
    assert_eq!(h.stat(&file).await.status, Status::Trashed);
    assert!(h.names(&dir).await.is_empty());
}

pub async fn events_of_another_client_are_announced(h: &Harness) {
    let mut events = match h.remote.events().await {
        Ok(events) => events,
        Err(Error::Offline(_) | Error::Protocol(_)) => {
            eprintln!("skipped: this world announces nothing");
            return;
        }
        Err(e) => panic!("{e}"),
    };
    let soon = Duration::from_secs(20);
    let first = tokio::time::timeout(soon, events.next()).await.expect("an event in time");
    assert_eq!(first, Some(Event::Connected));
    let root = h.remote.account().root;
    h.second.mkdir(&root, &unique("told"), super::MTIME, super::BIRTH).await.expect("mkdir");
    let next = tokio::time::timeout(soon, events.next()).await.expect("an event in time");
    assert_eq!(next, Some(Event::Changed));
}
