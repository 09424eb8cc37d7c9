//! Replays what the real servers were asked and compares what the emulator answers.
//!
//! Identities differ from run to run, so recorded ids are mapped to live ones as they appear. What a
//! recording presupposes but does not show (items made by calls that were not kept, the first of two
//! racing calls) is made beforehand, see `stage`.

// Tests fail by panicking.
#![allow(clippy::unwrap_used)]

#[path = "emulator_replay/compare.rs"]
mod compare;
#[path = "emulator_replay/play.rs"]
mod play;
#[path = "emulator_replay/stage.rs"]
mod stage;

use compare::Mode;
use play::Player;

/// The services that are replayed. `fault` marks what the recorder itself answered.
const SERVICES: [&str; 3] = ["drive", "network", "s3"];

/// Exchanges that are not replayed, and why.
const LEFT_OUT: &[(usize, &str)] = &[(
    17,
    "neither the upload of its object was recorded nor the answer with its link; 381 and 382 hold ranges",
)];

/// An exchange that happened earlier than its place in the file says, and the one it came before.
const EARLIER: (usize, usize) = (437, 9);

/// Exchanges of which only status, keys, types and messages are held, and why.
const SHAPE_ONLY: &[(usize, &str)] = &[
    (176, "a part of files that are all of one size: which ones come is the database's whim"),
    (178, "a part of the list sorted by uuids, which are random"),
    (179, "a part of the list sorted by uuids, which are random"),
    (410, "a feed with files of probes for long names that were not recorded"),
    (427, "the folder holds fifteen files of races that were not recorded, cut from the answer as well"),
];

fn mode(index: usize) -> Mode {
    let loose = SHAPE_ONLY.iter().any(|(loose, _)| *loose == index);
    if loose { Mode::Shape } else { Mode::Values }
}

/// The exchanges as they happened.
fn order(len: usize) -> Vec<usize> {
    let (early, before) = EARLIER;
    let mut order: Vec<usize> = (0..len).filter(|index| *index != early).collect();
    order.insert(before, early);
    order
}

#[tokio::test]
async fn the_recordings_come_out_the_same() {
    let mut player = Player::new(include_str!("fixtures/exchanges.jsonl"));
    let mut faults = Vec::new();
    let mut replayed = 0;
    for index in order(player.len()) {
        let service = player.service(index);
        if !SERVICES.contains(&service.as_str()) || LEFT_OUT.iter().any(|(out, _)| *out == index) {
            continue;
        }
        stage::before(&mut player, index).await;
        let found = player.play(index, mode(index)).await;
        stage::after(&player, index);
        replayed += 1;
        faults.extend(found);
    }
    assert!(faults.is_empty(), "{} of {replayed} differ:\n{}", faults.len(), faults.join("\n"));
    assert!(replayed > 430, "only {replayed} exchanges were replayed");
}
