//! SQLite in the hands of one or two processes on this host.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::world::{World, quick};
use crate::programs::{sh, try_sh};

/// A shell of SQLite that stays open.
struct Shell {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Shell {
    fn open(database: &Path) -> Shell {
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg("-batch").arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = sqlite.spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Shell { process, to, from: BufReader::new(from) }
    }

    /// Its answer, which ends where it says so.
    fn ask(&mut self, statements: &str) -> String {
        writeln!(self.to, "{statements}\n.print done").unwrap();
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).unwrap(), 0, "it ended: {statements}");
            if line == "done\n" {
                return answer;
            }
            answer.push_str(&line);
        }
    }

    fn close(mut self) {
        drop(self.to);
        assert!(self.process.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// As long as a database is open, what lies beside it stays here; in the end the server has one that is whole.
fn stays(mode: &str, beside: &[&str]) {
    let world = World::new();
    let path = world.path("data.db");
    let mut shell = Shell::open(&path);
    assert_eq!(shell.ask(&format!("PRAGMA journal_mode={mode};")), format!("{mode}\n"));
    shell.ask("CREATE TABLE t(a); INSERT INTO t VALUES (1);");
    shell.ask("BEGIN IMMEDIATE; UPDATE t SET a=2; INSERT INTO t VALUES (3);");
    for name in beside {
        assert!(world.path(name).exists(), "{mode}: {name}");
    }
    // Another process sees what was committed, and may not write.
    assert_eq!(sh("sqlite3 \"$1\" 'SELECT a FROM t'", &[&path]), "1\n", "{mode}");
    let refused = try_sh("sqlite3 \"$1\" 'INSERT INTO t VALUES (9)'", &[&path]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("locked"), "{mode}: {refused:?}");
    std::thread::sleep(quick().empty_delay * 3);
    shell.ask("COMMIT;");
    std::thread::sleep(quick().empty_delay * 3);
    for name in beside {
        assert!(!world.names().contains(&(*name).to_owned()), "{mode}: {name}");
    }
    shell.close();
    world.drain();
    assert_eq!(world.names(), ["data.db"], "{mode}");
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join("data.db"), world.uploaded("data.db")).unwrap();
    let told = sh("sqlite3 \"$1/data.db\" 'PRAGMA integrity_check; SELECT sum(a) FROM t'", &[copy.path()]);
    assert_eq!(told, "ok\n5\n", "{mode}");
}

#[test]
fn what_lies_beside_an_open_database_with_a_rollback_journal_stays_here() {
    stays("delete", &["data.db-journal"]);
}

#[test]
fn what_lies_beside_an_open_database_with_a_write_ahead_log_stays_here() {
    stays("wal", &["data.db-wal", "data.db-shm"]);
}

#[test]
fn a_database_whose_program_was_killed_is_rolled_back_by_the_next() {
    for mode in ["delete", "wal"] {
        let mut world = World::new();
        let path = world.path("data.db");
        let mut shell = Shell::open(&path);
        shell.ask(&format!("PRAGMA journal_mode={mode}; PRAGMA cache_size=2; CREATE TABLE t(a);"));
        shell.ask("INSERT INTO t VALUES (1); BEGIN; UPDATE t SET a=2;");
        // More than it keeps in memory, so that the file has changed.
        shell.ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i+1 FROM n WHERE i<500) INSERT INTO t SELECT hex(randomblob(500)) FROM n;");
        shell.kill();
        world.remount();
        let told = sh("sqlite3 \"$1\" 'PRAGMA integrity_check; SELECT a FROM t'", &[&path]);
        assert_eq!(told, "ok\n1\n", "{mode}");
        world.drain();
    }
}
