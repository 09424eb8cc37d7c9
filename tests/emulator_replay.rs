//! Replays what the real servers were asked and compares what the emulator answers.
//!
//! Identities differ from run to run, so recorded ids are mapped to live ones as they appear. What a
//! recording presupposes but does not show (items made by calls that were not kept, the first of two
//! racing calls) is made beforehand, see `stage`.

#[path = "emulator_replay/compare.rs"]
mod compare;
#[path = "emulator_replay/play.rs"]
mod play;
#[path = "emulator_replay/stage.rs"]
mod stage;

use compare::Mode;
use play::Player;

/// The services that are replayed.
const SERVICES: [&str; 3] = ["drive", "network", "s3"];

/// Exchanges that are not replayed, and why.
const LEFT_OUT: &[(usize, &str)] = &[
    (17, "the upload of its object was not recorded; 381 and 382 hold ranges"),
    (206, "the recording cuts its 1001 names to five; a unit test holds the limit"),
    (432, "an injected fault, not the service"),
];

/// Exchanges of which only status, keys, types and messages are held, and why.
const SHAPE_ONLY: &[(usize, &str)] = &[
    (176, "files of one size come in any order"),
    (178, "sorted by random uuids"),
    (179, "sorted by random uuids"),
    (189, "a feed with files of the first session, which is not recorded in full"),
    (190, "folders of one millisecond come in any order"),
    (195, "a feed with files of the first session"),
    (196, "folders of one millisecond come in any order"),
    (199, "a feed with files of the first session"),
    (316, "a feed with files of the first session"),
    (410, "a feed with files of the first session"),
    (427, "the folder holds files of races that were not recorded"),
    (437, "recorded before the calls it follows in the file"),
];

fn mode(index: usize) -> Mode {
    let loose = SHAPE_ONLY.iter().any(|(loose, _)| *loose == index);
    if loose { Mode::Shape } else { Mode::Values }
}

#[tokio::test]
async fn the_recordings_come_out_the_same() {
    let mut player = Player::new(include_str!("fixtures/exchanges.jsonl"));
    let mut faults = Vec::new();
    let mut replayed = 0;
    for index in 0..player.len() {
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
    assert!(replayed > 300, "only {replayed} exchanges were replayed");
}
