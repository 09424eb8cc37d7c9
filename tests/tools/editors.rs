//! Editors as they are installed, each saving a file that the server has.

use std::fs;

use super::world::{Sent, World};
use crate::programs::sh;

/// Edits with a command and waits until what rests is sent; files that are called `kept` may rest longer.
fn save(world: &World, script: &str, kept: &[&str]) -> Sent {
    let mark = world.mark();
    sh(script, &[&world.path("notes.txt")]);
    world.rests(kept);
    world.sent(mark)
}

fn vim(settings: &str, expected: &[&str]) {
    let world = World::new();
    let before = world.put("notes.txt", b"first\n");
    let script =
        format!("vim -es -u NONE -c 'set backupskip= {settings}' -c 'normal osecond' -c 'wq' \"$1\"");
    let sent = save(&world, &script, expected);
    assert_eq!(fs::read(world.path("notes.txt")).unwrap(), b"first\nsecond\n", "{settings}");
    assert_eq!(world.uploaded("notes.txt"), b"first\nsecond\n", "{settings}");
    assert_eq!(world.row("notes.txt").id, before.id, "{settings}");
    assert_eq!(sent, Sent::ONE_REPLACE, "{settings}");
    assert_eq!(world.names(), ["notes.txt"], "{settings}: no other name ever was there");
}

#[test]
fn vim_saves_with_one_replace_however_it_makes_backups() {
    for backupcopy in ["yes", "no", "auto", "auto,breaksymlink", "yes,breakhardlink"] {
        vim(&format!("backupcopy={backupcopy} writebackup nobackup"), &[]);
        vim(&format!("backupcopy={backupcopy} writebackup nobackup swapfile fsync"), &[]);
    }
    vim("nowritebackup nobackup", &[]);
}

#[test]
fn vim_that_keeps_its_backup_saves_with_one_replace() {
    for backupcopy in ["yes", "no", "auto"] {
        vim(&format!("backupcopy={backupcopy} writebackup backup"), &["notes.txt~"]);
    }
}

/// A session of emacs with settings, in which a line is added. It makes no backups below /tmp unless told to.
fn emacs(settings: &str, line: &str) -> String {
    format!(
        "emacs -Q --batch --eval '(setq backup-enable-predicate (lambda (n) t) {settings})' \"$1\" --eval \
         '(progn (goto-char (point-max)) (insert \"{line}\\n\") (save-buffer))'"
    )
}

#[test]
fn emacs_saves_with_one_replace_and_its_backup_follows() {
    let world = World::new();
    let before = world.put("notes.txt", b"first\n");
    assert_eq!(save(&world, &emacs("", "second"), &["notes.txt~"]), Sent::ONE_REPLACE);
    assert_eq!(world.uploaded("notes.txt"), b"first\nsecond\n");
    assert_eq!((world.row("notes.txt").id, world.names()), (before.id.clone(), vec!["notes.txt".to_owned()]));
    // The next session finds the backup uploaded, and renames over it.
    world.drain();
    let backup = world.row("notes.txt~");
    assert_eq!(world.uploaded("notes.txt~"), b"first\n");
    assert_eq!(save(&world, &emacs("", "third"), &["notes.txt~"]), Sent::ONE_REPLACE);
    assert_eq!(world.row("notes.txt").id, before.id);
    world.drain();
    assert_eq!(world.uploaded("notes.txt"), b"first\nsecond\nthird\n");
    assert_eq!(world.uploaded("notes.txt~"), b"first\nsecond\n");
    assert_eq!(world.row("notes.txt~").id, backup.id);
    assert_eq!(world.names(), ["notes.txt", "notes.txt~"], "neither was ever in the trash");
}

#[test]
fn emacs_that_copies_its_backups_or_makes_none_saves_with_one_replace() {
    for (settings, kept) in [("backup-by-copying t", &["notes.txt~"][..]), ("make-backup-files nil", &[])] {
        let world = World::new();
        let before = world.put("notes.txt", b"first\n");
        assert_eq!(save(&world, &emacs(settings, "second"), kept), Sent::ONE_REPLACE, "{settings}");
        assert_eq!(world.uploaded("notes.txt"), b"first\nsecond\n");
        assert_eq!((world.row("notes.txt").id, world.names()), (before.id, vec!["notes.txt".to_owned()]));
    }
}

#[test]
fn sed_in_place_is_one_replace() {
    let world = World::new();
    let before = world.put("notes.txt", b"first\n");
    assert_eq!(save(&world, "sed -i s/first/second/ \"$1\"", &[]), Sent::ONE_REPLACE);
    assert_eq!((world.row("notes.txt").id, world.uploaded("notes.txt")), (before.id, b"second\n".to_vec()));
}

#[test]
fn what_sqlite_keeps_beside_a_database_stays_here() {
    let world = World::new();
    for mode in ["delete", "truncate", "persist", "wal"] {
        let script = format!(
            "sqlite3 \"$1/{mode}.db\" 'PRAGMA journal_mode={mode}; CREATE TABLE t(a); INSERT INTO t VALUES (1);
             UPDATE t SET a=2; PRAGMA integrity_check;'"
        );
        assert!(sh(&script, &[world.root()]).ends_with("ok\n"), "{mode}");
    }
    world.rests(&["persist.db-journal", "truncate.db-journal"]);
    assert_eq!(world.names(), ["delete.db", "persist.db", "truncate.db", "wal.db"]);
    world.drain();
    assert!(world.names().contains(&"persist.db-journal".to_owned()), "what rests is sent in the end");
}
