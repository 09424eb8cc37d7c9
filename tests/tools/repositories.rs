//! Programs that keep repositories: git, restic, borg. Each works in one on the mount; what they did is sent, and a machine
//! that knew nothing finds it whole.

use std::fs;
use std::path::Path;
use std::time::Duration;

use inxtfs::fs::Config;

use super::world::{Sent, World, quick};
use crate::dice::Dice;
use crate::programs::sh;

/// Nothing is sent but when a test says so.
fn patient() -> World {
    World::with(Config { writeback_delay: Duration::from_secs(3600), ..quick() })
}

fn sources(at: &Path) {
    fs::create_dir(at.join("sub")).unwrap();
    let mut dice = Dice::new(5);
    for (name, len) in [("a.txt", 50), ("b.bin", 300_000), ("sub/c", 70_000), ("sub/Ünï", 5)] {
        fs::write(at.join(name), dice.bytes(len)).unwrap();
    }
}

/// Runs with a home of its own, which holds what the programs remember of repositories.
fn at_home(script: &str, home: &Path, drive: &Path, source: &Path) -> String {
    let home_first = "export HOME=\"$1\" GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com \
                      GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com RESTIC_PASSWORD=secret BORG_PASSPHRASE=secret \
                      BORG_BASE_DIR=\"$1\" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes; ";
    sh(&format!("{home_first}{script}"), &[home, drive, source])
}

/// Everything goes as one upload a file that has bytes, under the names that are there now.
fn sends_what_is_there(world: &World) {
    let mark = world.mark();
    world.drain();
    let files = sh("find \"$1\" -type f -size +0 -printf '%f\\n' | sort", &[world.root()]);
    let sent = world.sent(mark);
    assert_eq!(
        sent,
        Sent {
            uploads: files.lines().count(),
            creates: sent.creates,
            folders: sent.folders,
            ..Sent::NOTHING
        }
    );
    let mut known = world.names();
    known.dedup();
    let mut there: Vec<_> =
        sh("find \"$1\" -type f -printf '%f\\n'", &[world.root()]).lines().map(str::to_owned).collect();
    there.sort();
    there.dedup();
    assert_eq!(known, there, "no other name ever was on the server");
}

#[test]
fn a_git_repository_on_the_mount_is_whole_after_clone_commit_gc_and_worktree() {
    let mut world = patient();
    let (home, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sources(source.path());
    let run = |world: &World, script: &str| at_home(script, home.path(), world.root(), source.path());
    run(&world, "cd \"$3\" && git init -q -b main && ln -s a.txt link && git add -A && git commit -qm one");
    run(
        &world,
        "git clone -q \"$3\" \"$2/clone\" && cd \"$2/clone\" && echo more >>a.txt && git commit -qam two",
    );
    run(
        &world,
        "cd \"$2/clone\" && git gc -q && git fsck --full --strict && git worktree add -q ../side -b side",
    );
    // A clone beside it asks for hard links, and does without.
    run(
        &world,
        "git clone -q \"$2/clone\" \"$2/beside\" && cd \"$2/side\" && echo x >x && git add x && git commit -qm three",
    );
    sends_what_is_there(&world);
    world.forget();
    for tree in ["clone", "side", "beside"] {
        let check = format!("cd \"$2/{tree}\" && git fsck --full --strict && git status --porcelain");
        assert_eq!(run(&world, &check), "", "{tree}");
    }
    assert_eq!(run(&world, "cd \"$2/clone\" && git log --format=%s side"), "three\ntwo\none\n");
    assert_eq!(
        run(&world, "git -C \"$2/clone\" worktree remove ../side && ls -d \"$2/side\" || echo gone"),
        "gone\n"
    );
    world.drain();
}

#[test]
fn a_restic_repository_on_the_mount_takes_backups_and_gives_them_back() {
    let mut world = patient();
    let (home, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sources(source.path());
    let run = |world: &World, script: &str| at_home(script, home.path(), world.root(), source.path());
    run(&world, "restic -q init -r \"$2/r\" && restic -q backup -r \"$2/r\" \"$3\"");
    sends_what_is_there(&world);
    // A second backup sends what is new, and nothing again.
    fs::write(source.path().join("new"), b"new").unwrap();
    let before = world.rows().len();
    run(&world, "restic -q backup -r \"$2/r\" \"$3\"");
    let mark = world.mark();
    world.drain();
    let new = world.rows().len() - before;
    assert_eq!(
        world.sent(mark),
        Sent { uploads: new, creates: new, folders: world.sent(mark).folders, ..Sent::NOTHING }
    );
    assert!((3..=5).contains(&new), "{new}");
    world.forget();
    run(
        &world,
        "restic -q check --read-data -r \"$2/r\" && restic -q restore latest -r \"$2/r\" --target \"$1/out\"",
    );
    run(&world, "diff -r \"$1/out/$3\" \"$3\" && restic -q forget --keep-last 1 --prune -r \"$2/r\"");
    run(&world, "restic -q check -r \"$2/r\"");
    world.drain();
}

#[test]
fn a_borg_repository_on_the_mount_takes_archives_and_gives_them_back() {
    let mut world = patient();
    let (home, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sources(source.path());
    let run = |world: &World, script: &str| at_home(script, home.path(), world.root(), source.path());
    run(&world, "borg init -e none \"$2/r\" && cd \"$3\" && borg create \"$2/r::one\" .");
    sends_what_is_there(&world);
    fs::write(source.path().join("new"), b"new").unwrap();
    run(&world, "cd \"$3\" && borg create \"$2/r::two\" . && borg check --verify-data \"$2/r\"");
    world.drain();
    world.forget();
    // It knows the repository as the one it left.
    run(
        &world,
        "borg check \"$2/r\" && mkdir \"$1/out\" && cd \"$1/out\" && borg extract \"$2/r::two\" && diff -r . \"$3\"",
    );
    run(&world, "borg prune --keep-last 1 \"$2/r\" && borg compact \"$2/r\" && borg check \"$2/r\"");
    assert_eq!(run(&world, "borg list --short \"$2/r\""), "two\n");
    world.drain();
}
