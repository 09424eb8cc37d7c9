//! Several at work at a time: one sync of the log serves all that were committed before it, and nobody is told of one
//! that did not happen.

use std::thread::scope;

use super::disk::Dice;
use super::harness::{Engine, TRUNCATE, eager, noise, patient};
use super::machine::Machine;

const WRITERS: u64 = 3;
const LOSSES: u64 = 6;

fn version(writer: u64, n: u64) -> Vec<u8> {
    noise(5_000 + (n % 3 * 70_000) as usize, writer << 32 | n)
}

/// Writes a file again and again, each time until that is synced. Returns the last version that was.
fn rewrite_until_dark(e: &Engine, writer: u64) -> u64 {
    let name = format!("w{writer}");
    for n in 1.. {
        let Ok(fh) = e.create(&name, TRUNCATE) else { return n - 1 };
        let written = e.write_fh(fh, 0, &version(writer, n));
        let synced = written.and_then(|()| e.get(e.fs().fsync(fh)));
        let closed = e.close(fh);
        if synced.is_err() {
            return n - 1;
        }
        if closed.is_err() {
            return n;
        }
    }
    unreachable!()
}

#[test]
fn what_one_of_many_was_told_is_synced_survives_a_loss_of_power() {
    for seed in 0..LOSSES {
        let mut m = Machine::new(if seed % 2 == 0 { eager() } else { patient() });
        for writer in 0..WRITERS {
            m.engine.put(&format!("w{writer}"), &version(writer, 0)).unwrap();
        }
        m.tick();
        m.plug.goes_after(Dice::new(seed).roll(30_000));
        let e = &m.engine;
        let told: Vec<u64> = scope(|s| {
            let writers = (0..WRITERS).map(|w| s.spawn(move || rewrite_until_dark(e, w)));
            let writers: Vec<_> = writers.collect();
            // The log grows, and is folded.
            s.spawn(|| (0..).find(|i| e.put(&format!("small {i}"), b"small").is_err()));
            writers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        println!("seed {seed}: {told:?}");
        m.cut(seed);
        for (writer, n) in (0..).zip(told) {
            let bytes = m.shown(&format!("w{writer}")).unwrap().bytes.unwrap();
            let is = |n| *bytes == version(writer, n);
            assert!(is(n) || is(n + 1), "seed {seed}, writer {writer}: not {n}, {} bytes", bytes.len());
        }
    }
}
