use bytes::Bytes;

use super::*;
use crate::remote::memory::Memory;
use crate::remote::{Class, Event, Urgency};

const T: Timestamp = Timestamp { secs: 1, nanos: 0 };

fn world() -> (Memory, Arc<Fault>, NodeId) {
    let cloud = Memory::new();
    let root = cloud.account().root;
    let fault = Fault::new(cloud.client("struck"), 7);
    (cloud, fault, root)
}

async fn drain(mut stream: ByteStream) -> (u64, Option<Error>) {
    let mut bytes = 0;
    while let Some(item) = stream.next().await {
        match item {
            Ok(piece) => bytes += piece.len() as u64,
            Err(e) => return (bytes, Some(e)),
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn a_script_strikes_the_nth_call_of_its_method_only() {
    let (cloud, fault, root) = world();
    fault.script(Method::Mkdir, 2, Action::Offline);
    fault.mkdir(&root, "one", T, T).await.expect("the first");
    fault.list(&root).await.expect("another method");
    let struck = fault.mkdir(&root, "two", T, T).await;
    assert!(matches!(struck, Err(Error::Offline(_))), "{struck:?}");
    fault.mkdir(&root, "three", T, T).await.expect("the third");
    assert_eq!(cloud.count(Method::Mkdir), 2, "the second never reached the cloud");
    assert_eq!(fault.injected(), [Injected { method: Method::Mkdir, call: 2, action: Action::Offline }]);
    fault.script(Method::Mkdir, 1, Action::SessionLost);
    assert!(matches!(fault.mkdir(&root, "four", T, T).await, Err(Error::SessionLost)), "from now on");
    assert_eq!(fault.calls(Method::Mkdir), 4);
}

#[tokio::test]
async fn a_lost_answer_was_done_and_is_ambiguous_where_it_changed_something() {
    let (cloud, fault, root) = world();
    fault.always(Method::Mkdir, Action::Lost);
    let lost = fault.mkdir(&root, "made", T, T).await.expect_err("lost");
    assert_eq!(lost.class(), Class::Ambiguous);
    assert_eq!(cloud.tree().len(), 1);
    let refused = fault.mkdir(&root, "made", T, T).await.expect_err("taken");
    assert!(matches!(refused, Error::Exists), "a refusal is heard");
    fault.clear();
    fault.script(Method::List, 1, Action::Lost);
    assert_eq!(fault.list(&root).await.expect_err("lost").class(), Class::Transient);
    fault.mkdir(&root, "another", T, T).await.expect("plans are forgotten");
}

#[tokio::test]
async fn the_switch_stops_calls_streams_and_events() {
    let (cloud, fault, root) = world();
    let row = cloud.add_file(&root, RemoteName::whole("a"), &[1; 200_000]);
    let of = row.content.expect("content");
    let mut reading = fault.read(&of, 200_000, 0..200_000, Urgency::Now).await.expect("read");
    let mut events = fault.events().await.expect("events");
    assert!(reading.next().await.is_some_and(|piece| piece.is_ok()));
    assert_eq!(events.next().await, Some(Event::Connected));
    fault.set_offline(true);
    assert!(matches!(drain(reading).await, (0, Some(Error::Offline(_)))));
    assert_eq!(events.next().await, None);
    assert!(matches!(fault.list(&root).await, Err(Error::Offline(_))));
    assert_eq!(cloud.count(Method::List), 0);
    fault.set_offline(false);
    let (bytes, error) = drain(fault.read(&of, 200_000, 0..200_000, Urgency::Now).await.expect("read")).await;
    assert!(bytes == 200_000 && error.is_none(), "{bytes} {error:?}");
}

#[tokio::test]
async fn a_stalled_read_breaks_off_when_the_switch_goes() {
    let (_, fault, _) = world();
    let stalled: ByteStream = futures_util::stream::pending().boxed();
    let reading = stream::while_online(stalled, fault.offline.subscribe());
    fault.set_offline(true);
    assert!(matches!(drain(reading).await, (0, Some(Error::Offline(_)))));
}

#[tokio::test]
async fn reads_are_cut_at_the_byte() {
    let (cloud, fault, root) = world();
    let row = cloud.add_file(&root, RemoteName::whole("a"), &[1; 200_000]);
    let of = row.content.expect("content");
    for cut in [0, 1, 65_535, 65_536, 65_537, 199_999, 200_000, 300_000] {
        fault.script(Method::Read, 1, Action::Truncate(cut));
        let (bytes, error) =
            drain(fault.read(&of, 200_000, 0..200_000, Urgency::Now).await.expect("read")).await;
        assert_eq!(bytes, cut.min(200_000));
        assert!(matches!(error, Some(Error::Offline(_))), "{cut}: {error:?}");
    }
}

#[tokio::test]
async fn a_crash_point_parks_before_or_after_the_deed() {
    for (side, made) in [(Side::Before, 0), (Side::After, 1)] {
        let (cloud, fault, root) = world();
        let reached = fault.crash_at(Method::Mkdir, 1, side);
        let struck = fault.clone();
        let process = tokio::spawn(async move { struck.mkdir(&root, "a", T, T).await.map(|_| ()) });
        reached.await.expect("reached");
        assert_eq!(cloud.tree().len(), made, "{side:?}");
        assert!(!process.is_finished());
        process.abort();
        assert!(process.await.expect_err("killed").is_cancelled());
    }
}

#[tokio::test]
async fn a_seed_repeats_itself_whatever_else_is_called() {
    let run = async |seed: u64, others: bool| {
        let cloud = Memory::new();
        let root = cloud.account().root;
        let fault = Fault::new(cloud.client("struck"), seed);
        fault.random(Some(Random::weather(300)));
        for n in 0..200 {
            let _ = fault.mkdir(&root, &n.to_string(), T, T).await;
            if others {
                let _ = fault.list(&root).await;
            }
        }
        fault.injected().into_iter().filter(|i| i.method == Method::Mkdir).collect::<Vec<_>>()
    };
    let first = run(1, false).await;
    assert!((30..90).contains(&first.len()), "about three in ten: {}", first.len());
    assert_eq!(first, run(1, true).await);
    assert_ne!(first, run(2, false).await);
    assert!(Random::weather(0).draw(1, Method::List, 1).is_none());
    let kinds: std::collections::HashSet<_> =
        first.iter().map(|i| std::mem::discriminant(&i.action)).collect();
    assert_eq!(kinds.len(), 5, "every way of failing comes up");
}

#[tokio::test]
async fn what_was_put_before_the_answer_got_lost_is_an_orphan() {
    let (cloud, fault, _) = world();
    fault.script(Method::Put, 1, Action::Lost);
    let lost = fault.put(None, Body::from_bytes(Bytes::from_static(b"x"))).await;
    assert!(matches!(lost, Err(Error::Ambiguous(_))));
    assert_eq!(cloud.orphans().len(), 1);
    fault.script(Method::Put, 1, Action::Busy(Duration::from_secs(3)));
    let busy = fault.put(None, Body::from_bytes(Bytes::from_static(b"x"))).await;
    assert!(matches!(busy, Err(Error::Busy { after }) if after == Duration::from_secs(3)));
    assert_eq!(cloud.orphans().len(), 1);
}
