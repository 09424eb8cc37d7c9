//! Bytes up and down.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use inxtfs::names::RemoteName;
use inxtfs::remote::{Body, Error, NewFile, Refusal, Replacement};
use inxtfs::types::{Urgency, Version};

use super::{BIRTH, Harness, MTIME};
use crate::common::{body, collect, pattern};
use crate::skip_without;

async fn read(h: &Harness, of: &Version, size: u64, range: Range<u64>) -> Result<Bytes, Error> {
    collect(h.remote.read(of, size, range, Urgency::Now).await?).await
}

pub async fn ranges_at_all_alignments(h: &Harness) {
    let dir = h.dir().await;
    let bytes = pattern(100_003, 1);
    let row = h.file(&dir, "a.bin", &bytes).await;
    let of = row.content.as_ref().expect("content");
    let starts = (0..17).chain([31, 32, 33, 4095, 4096, 4097, 65_535, 65_536, 65_537, 99_990, 100_002]);
    for start in starts {
        for len in [1, 15, 16, 17, 255, 40_000] {
            let (from, to) = (start.min(bytes.len()), (start + len).min(bytes.len()));
            let got = read(h, of, row.size, from as u64..to as u64).await.expect("read");
            assert!(got == bytes[from..to], "{from}..{to}");
        }
    }
    assert!(h.bytes(&row).await.expect("whole") == bytes);
    let theirs = collect(h.second.read(of, row.size, 0..row.size, Urgency::Now).await.expect("read"))
        .await
        .expect("whole");
    assert!(theirs == bytes, "another client reads it, too");
}

pub async fn odd_ranges(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "a.bin", b"0123456789").await;
    let of = row.content.as_ref().expect("content");
    for (range, want) in
        [(0..0, ""), (5..5, ""), (10..10, ""), (7..20, "789"), (0..1000, "0123456789"), (10..20, "")]
    {
        assert_eq!(read(h, of, 10, range.clone()).await.expect("read"), want, "{range:?}");
    }
    #[allow(clippy::reversed_empty_ranges)] // on purpose
    let inverted = 8..3;
    assert_eq!(read(h, of, 10, inverted).await.expect("read"), "");
}

pub async fn a_whole_read_is_verified(h: &Harness) {
    let dir = h.dir().await;
    let bytes = pattern(70_000, 2);
    let row = h.file(&dir, "a.bin", &bytes).await;
    let of = row.content.as_ref().expect("content");
    skip_without!(h.world.corrupt(of).await, "damage an object");
    assert!(matches!(h.bytes(&row).await, Err(Error::Corrupt(_))));
    let part = read(h, of, row.size, 1..row.size).await.expect("a part cannot be verified");
    assert_eq!(part.len(), bytes.len() - 1);
    assert!(part != bytes[1..], "so the damage shows");
}

pub async fn a_lost_object_is_not_found(h: &Harness) {
    let dir = h.dir().await;
    let row = h.file(&dir, "a.bin", b"0123456789").await;
    let of = row.content.clone().expect("content");
    skip_without!(h.world.lose(&of).await, "lose an object");
    assert!(matches!(h.bytes(&row).await, Err(Error::NotFound)));
    assert!(matches!(read(h, &of, 10, 2..5).await, Err(Error::NotFound)));
    let verified = h.remote.verify(&of, body(&Bytes::from_static(b"0123456789"))).await;
    assert!(matches!(verified, Err(Error::NotFound)), "{verified:?}");
    // The harness would take the dangling row for harm done by the case.
    h.remote.delete(row.kind, &row.id).await.expect("delete");
}

pub async fn verify_compares_plaintext(h: &Harness) {
    let dir = h.dir().await;
    let bytes = pattern(5000, 3);
    let row = h.file(&dir, "a.bin", &bytes).await;
    let of = row.content.as_ref().expect("content");
    h.remote.verify(of, body(&bytes)).await.expect("the same");
    let mut other = bytes.to_vec();
    other[4999] ^= 1;
    for wrong in [Bytes::from(other), bytes.slice(..4999), pattern(5001, 3)] {
        assert!(matches!(h.remote.verify(of, body(&wrong)).await, Err(Error::Corrupt(_))));
    }
}

pub async fn every_upload_is_a_version_of_its_own(h: &Harness) {
    let bytes = pattern(1000, 4);
    let sent = Arc::new(AtomicU64::new(0));
    let told = sent.clone();
    let mut counted = body(&bytes);
    counted.progress = Arc::new(move |n| {
        told.fetch_add(n, Ordering::Relaxed);
    });
    let one = h.remote.put(None, counted).await.expect("put");
    assert_eq!(sent.load(Ordering::Relaxed), 1000, "progress adds up");
    let two = h.remote.put(None, body(&bytes)).await.expect("put");
    assert_ne!(one, two);
    for version in [&one, &two] {
        assert_eq!(version.bucket, h.remote.account().bucket);
        let hex = version.object.len() == 24 && version.object.chars().all(|c| c.is_ascii_hexdigit());
        assert!(hex, "{version:?}");
        assert!(read(h, version, 1000, 0..1000).await.expect("readable before it is registered") == bytes);
    }
}

pub async fn an_unreadable_body_fails_the_upload(h: &Harness) {
    let failing = Body {
        size: 10_000,
        read: Arc::new(|_| Box::pin(std::future::ready(Err(std::io::Error::other("the disk is broken"))))),
        progress: Arc::new(|_| {}),
    };
    assert!(matches!(h.remote.put(None, failing).await, Err(Error::Local(_))));
    let short = Body {
        size: 10_000,
        read: Arc::new(|_| Box::pin(std::future::ready(Ok(Bytes::from_static(b"short"))))),
        progress: Arc::new(|_| {}),
    };
    assert!(h.remote.put(None, short).await.is_err());
    assert!(
        matches!(h.remote.put(None, body(&Bytes::new())).await, Err(Error::Protocol(_))),
        "nothing to upload"
    );
}

pub async fn a_full_account_refuses_uploads(h: &Harness) {
    let used = h.remote.usage().await.expect("usage").used;
    skip_without!(h.world.set_plan(used + 2000, 1 << 20, 10).await, "change the plan");
    let over = h.remote.put(None, body(&pattern(2001, 5))).await;
    assert!(matches!(over, Err(Error::Refused(Refusal::Quota))), "{over:?}");
    h.remote.put(None, body(&pattern(1500, 5))).await.expect("fits");
    let over = h.remote.put(None, body(&pattern(1500, 5))).await;
    assert!(matches!(over, Err(Error::Refused(Refusal::Quota))), "{over:?}");
}

pub async fn a_large_upload_comes_back(h: &Harness) {
    let Some(size) = h.large_upload else {
        eprintln!("skipped: large uploads are not cheap in this world");
        return;
    };
    let dir = h.dir().await;
    let bytes = pattern(size + 13, 6);
    let row = h.file(&dir, "large.bin", &bytes).await;
    assert!(h.bytes(&h.stat(&row).await).await.expect("whole") == bytes);
    let of = row.content.as_ref().expect("content");
    let middle = size as u64 / 2;
    let part = read(h, of, row.size, middle + 5..middle + 70_000).await.expect("part");
    assert!(part == bytes[size / 2 + 5..size / 2 + 70_000]);
    h.remote.verify(of, body(&bytes)).await.expect("verify");
}

pub async fn discarded_content_is_gone(h: &Harness) {
    let version = h.remote.put(None, body(&pattern(100, 7))).await.expect("put");
    h.remote.discard(&version).await.expect("discard");
    assert!(matches!(read(h, &version, 100, 0..100).await, Err(Error::NotFound)));
}

/// A file of another bucket takes its new content there.
pub async fn a_file_keeps_its_bucket(h: &Harness) {
    let Some(bucket) = h.world.other_bucket().await else {
        eprintln!("skipped: this world has one bucket");
        return;
    };
    let dir = h.dir().await;
    let old = h.remote.put(Some(&bucket), body(&Bytes::from_static(b"old"))).await.expect("put");
    assert_eq!(old.bucket, bucket);
    let file = NewFile {
        parent: dir,
        name: RemoteName::split("a.txt"),
        content: Some(old.clone()),
        size: 3,
        modified: MTIME,
        created: BIRTH,
    };
    let row = h.remote.create(&file).await.expect("create");
    assert_eq!(h.stat(&row).await.bucket.as_ref(), Some(&bucket));
    let new = h.remote.put(Some(&bucket), body(&Bytes::from_static(b"newer"))).await.expect("put");
    let with = Replacement::new(Some(old), Some(new.clone()), 5, MTIME).expect("other content");
    h.remote.replace(&row.id, &with).await.expect("replace");
    let row = h.stat(&row).await;
    assert_eq!((row.bucket.as_ref(), row.content.as_ref()), (Some(&bucket), Some(&new)));
    assert_eq!(h.bytes(&row).await.expect("read"), "newer");
}
