use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

type Waiting = Pin<Box<dyn Future<Output = Pass> + Send>>;

/// A waiter that stands in the queue already, or has passed.
fn wait(gate: &Gate, lane: Lane) -> Result<Pass, Waiting> {
    let gate = gate.clone();
    let mut waiting: Waiting = Box::pin(async move { gate.enter(lane).await });
    match waiting.as_mut().now_or_never() {
        Some(pass) => Ok(pass),
        None => Err(waiting),
    }
}

fn waits(gate: &Gate, lane: Lane) -> Waiting {
    wait(gate, lane).expect_err("there was room")
}

fn passes(gate: &Gate, lane: Lane) -> Pass {
    wait(gate, lane).ok().expect("there was no room")
}

/// Those of the waiters that have passed by now, in their order; they stay beyond the gate.
fn through(waiting: &mut Vec<(usize, Waiting)>) -> Vec<(usize, Pass)> {
    let mut passed = Vec::new();
    waiting.retain_mut(|(n, w)| match w.as_mut().now_or_never() {
        Some(pass) => {
            passed.push((*n, pass));
            false
        }
        None => true,
    });
    passed
}

#[test]
fn the_most_urgent_goes_next_and_within_a_lane_the_first() {
    let gate = Gate::new(1);
    let mut held = Some(passes(&gate, Lane::Background));
    let lanes = [Lane::Background, Lane::Send, Lane::Look, Lane::Ahead, Lane::Read, Lane::Look, Lane::Send];
    let mut waiting: Vec<_> = lanes.into_iter().map(|lane| waits(&gate, lane)).enumerate().collect();
    let mut order = Vec::new();
    while held.take().is_some() {
        if let Some((n, pass)) = through(&mut waiting).pop() {
            order.push(n);
            held = Some(pass);
        }
    }
    assert_eq!(order, [2, 5, 4, 3, 1, 6, 0]);
    assert_eq!(gate.waiting(), 0);
}

#[test]
fn what_nobody_waits_for_leaves_room_for_what_somebody_does() {
    let gate = Gate::new(8);
    let later: Vec<_> = (0..4).map(|_| passes(&gate, Lane::Background)).collect();
    let _background = waits(&gate, Lane::Background);
    let sent: Vec<_> = (0..3).map(|_| passes(&gate, Lane::Send)).collect();
    let _send = waits(&gate, Lane::Send);
    let _ahead = waits(&gate, Lane::Ahead);
    let looking = passes(&gate, Lane::Look);
    let _full = waits(&gate, Lane::Read);
    drop((later, sent, looking));
}

#[test]
fn the_narrowest_gate_still_lets_everybody_through() {
    let gate = Gate::new(0);
    for lane in Lane::ALL {
        drop(passes(&gate, lane));
    }
}

#[test]
fn no_lane_starves() {
    let gate = Gate::new(1);
    let mut held = passes(&gate, Lane::Look);
    let mut patient = waits(&gate, Lane::Background);
    for turn in 0..=PATIENCE {
        let mut urgent = waits(&gate, Lane::Look);
        drop(held);
        if let Some(pass) = patient.as_mut().now_or_never() {
            assert_eq!(turn, PATIENCE);
            drop(pass);
            return;
        }
        held = urgent.as_mut().now_or_never().expect("the urgent one goes before");
    }
    panic!("starved");
}

#[test]
fn one_that_starves_does_not_stop_those_that_use_what_it_could_not_have() {
    let gate = Gate::new(8);
    let _slow: Vec<_> = (0..4).map(|_| passes(&gate, Lane::Background)).collect();
    let _starved = waits(&gate, Lane::Background);
    for _ in 0..3 * PATIENCE {
        drop(passes(&gate, Lane::Look));
    }
}

#[test]
fn room_is_kept_for_a_large_one() {
    let gate = Gate::new(80);
    let enter = |weight| {
        let gate = gate.clone();
        let mut waiting: Waiting = Box::pin(async move { gate.enter_with(Lane::Send, weight).await });
        waiting.as_mut().now_or_never().ok_or(waiting)
    };
    let first = enter(40).ok().unwrap();
    let mut second = enter(20).ok().unwrap();
    let mut large = enter(1000).expect_err("more than there is counts as all of the lane's share");
    let mut small = enter(1).expect_err("nobody passes the large one");
    drop(first);
    assert!(large.as_mut().now_or_never().is_none());
    second.shrink(0);
    let pass = large.as_mut().now_or_never().unwrap();
    assert!(small.as_mut().now_or_never().is_none());
    drop(pass);
    assert!(small.as_mut().now_or_never().is_some());
}

#[test]
fn who_gives_up_leaves_no_trace() {
    let gate = Gate::new(1);
    let held = passes(&gate, Lane::Read);
    let first = waits(&gate, Lane::Read);
    let mut second = waits(&gate, Lane::Read);
    let third = waits(&gate, Lane::Read);
    drop(third);
    assert_eq!(gate.waiting(), 2);
    drop(held);
    // The first was given its pass and never took it.
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    let pass = second.as_mut().now_or_never().expect("the pass went on");
    assert_eq!(gate.waiting(), 0);
    drop(pass);
    drop(passes(&gate, Lane::Background));
}

#[derive(Clone, Debug)]
enum Step {
    Enter(Lane, u64),
    /// Of those that wait or hold: this one goes.
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let lane = (0..LANES).prop_map(|n| Lane::ALL[n]);
    prop_oneof![
        (lane, 1_u64..5).prop_map(|(lane, weight)| Step::Enter(lane, weight)),
        any::<usize>().prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_lost_and_nobody_is_forgotten(
        width in 1_u64..12, steps in prop::collection::vec(step(), 0..80),
    ) {
        let gate = Gate::new(width);
        let mut waiting: Vec<(usize, Waiting)> = Vec::new();
        let mut beyond: Vec<(usize, Pass)> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Enter(lane, weight) => {
                    let gate = gate.clone();
                    waiting.push((n, Box::pin(async move { gate.enter_with(lane, weight).await })));
                }
                Step::Leave(which) if !beyond.is_empty() && which % 2 == 0 => {
                    drop(beyond.remove(which % beyond.len()));
                }
                Step::Leave(which) if !waiting.is_empty() => drop(waiting.remove(which % waiting.len())),
                Step::Leave(_) => {}
            }
            beyond.extend(through(&mut waiting));
            let held: u64 = beyond.iter().map(|(_, p)| p.weight).sum();
            prop_assert!(held <= width);
            prop_assert_eq!(held, gate.0.state.lock().held.iter().sum::<u64>());
            prop_assert_eq!(gate.waiting(), waiting.len());
            prop_assert!(!beyond.is_empty() || waiting.is_empty(), "everybody waits and nobody is beyond");
        }
        while !beyond.is_empty() {
            beyond.clear();
            beyond.extend(through(&mut waiting));
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(gate.0.state.lock().held, [0; LANES]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_exceed_the_width() {
    let gate = Gate::new(3);
    let most = Arc::new(Mutex::new((0_usize, 0_usize)));
    let tasks = (0..300).map(|n| {
        let (gate, most) = (gate.clone(), most.clone());
        tokio::spawn(async move {
            let entering = gate.enter(Lane::ALL[n % LANES]);
            if n % 7 == 0 {
                // Some give up at the first obstacle.
                let _ = tokio::time::timeout(std::time::Duration::ZERO, entering).await;
                return;
            }
            let pass = entering.await;
            {
                let mut most = most.lock();
                most.0 += 1;
                most.1 = most.1.max(most.0);
            }
            tokio::task::yield_now().await;
            most.lock().0 -= 1;
            drop(pass);
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(most.lock().1 <= 3);
    assert_eq!((gate.waiting(), gate.0.state.lock().held), (0, [0; LANES]));
}

#[tokio::test]
async fn a_call_that_somebody_comes_to_wait_for_goes_at_once_to_the_lane_of_those_who_wait() {
    let gate = Gate::new(8);
    let mut ahead = Vec::new();
    for _ in 0..7 {
        ahead.push(gate.enter(Lane::Ahead).await);
    }
    let hurry = Hurry::new(Urgency::Soon);
    let mut waits = Box::pin(hurry.call(gate.enter(Lane::Ahead)));
    assert!(waits.as_mut().now_or_never().is_none(), "no more room for what nobody waits for");
    hurry.raise(Urgency::Someday);
    assert!(waits.as_mut().now_or_never().is_none());
    hurry.raise(Urgency::Now);
    let pass = waits.await;
    assert_eq!((pass.lane, gate.waiting()), (Lane::Read, 0), "it has left its former place");
    // What it asks for from then on, too.
    drop(pass);
    assert_eq!(hurry.call(gate.enter(Lane::Background)).await.lane, Lane::Read);
    assert_eq!(hurry.call(gate.enter(Lane::Look)).await.lane, Lane::Look);
}
