//! A hand that works on a folder of its own, and its ledger: what was acknowledged, and what was under way.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::life::Killer;
use crate::rng::Rng;
use crate::tree::Tree;

/// Calls that return to a hand. A plan may let the program die right after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    Write,
    Fsync,
    Close,
    Truncate,
    Utimens,
    Rename,
    RenameOver,
    Unlink,
    Mkdir,
    Rmdir,
}

impl Call {
    pub const ALL: [Call; 11] = [
        Call::Create,
        Call::Write,
        Call::Fsync,
        Call::Close,
        Call::Truncate,
        Call::Utimens,
        Call::Rename,
        Call::RenameOver,
        Call::Unlink,
        Call::Mkdir,
        Call::Rmdir,
    ];
}

/// The hand kills the program itself after the `nth` return of a call, counted from 1.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub call: Call,
    pub nth: u32,
}

/// Why the work ends.
pub enum End {
    /// The program was killed: what failed was under way.
    Killed,
    /// It was not, and a call failed.
    Broken(String),
}

/// How long a hand goes on, at most, with nobody killing the program.
const SHIFT: Duration = Duration::from_secs(20);
/// Calls kept for the story of a failure.
const TOLD: usize = 80;

pub struct Hand {
    pub name: String,
    home: PathBuf,
    pub rng: Rng,
    /// What was acknowledged.
    pub sure: Tree,
    /// What may be there instead: the call under way may or may not have been done.
    maybe: Vec<Tree>,
    story: Vec<String>,
    killer: Option<Killer>,
    stop: Option<Stop>,
    pub reached: bool,
    names: u32,
}

impl Hand {
    pub fn new(name: &str, root: &Path, seed: u64) -> Self {
        Hand {
            name: name.to_owned(),
            home: root.join(name),
            rng: Rng::new(seed),
            sure: Tree::default(),
            maybe: vec![Tree::default()],
            story: Vec::new(),
            killer: None,
            stop: None,
            reached: false,
            names: 0,
        }
    }

    /// Works until the program is killed.
    pub fn work(&mut self, killer: Killer, stop: Option<Stop>) -> Result<(), String> {
        (self.killer, self.stop, self.reached) = (Some(killer), stop, false);
        let start = Instant::now();
        while start.elapsed() < SHIFT {
            match self.one() {
                Ok(()) => {}
                Err(End::Killed) => return Ok(()),
                Err(End::Broken(what)) => return Err(format!("{what}\n{}", self.told())),
            }
        }
        Err(format!("nobody killed the program\n{}", self.told()))
    }

    /// Compares the folder, freshly mounted, with the ledger; what is there counts from now on.
    pub fn check(&mut self) -> Result<(), String> {
        let real = match Tree::read(&self.home) {
            Ok(real) => real,
            Err(e) => return Err(format!("{}: cannot be read: {e}\n{}", self.name, self.told())),
        };
        let all: Vec<_> = self.maybe.iter().map(|tree| tree.differences(&real)).collect();
        if all.iter().all(|differences| !differences.is_empty()) {
            let least = all.into_iter().min_by_key(Vec::len).unwrap_or_default().join("\n  ");
            return Err(format!("{}: is not as it was acknowledged:\n  {least}\n{}", self.name, self.told()));
        }
        self.note(format!("-- mounted again: {} entries are right", real.0.len()));
        self.maybe = vec![real.clone()];
        self.sure = real;
        Ok(())
    }

    pub fn told(&self) -> String {
        let last = &self.story[self.story.len().saturating_sub(TOLD)..];
        format!("the last calls of {}:\n  {}", self.name, last.join("\n  "))
    }

    pub fn note(&mut self, line: String) {
        self.story.push(line);
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.home.join(below)
    }

    /// A name that was never used.
    pub fn fresh_name(&mut self) -> u32 {
        self.names += 1;
        self.names
    }

    /// Makes a call that is acknowledged by its return: `then` is there after it, and perhaps before.
    pub fn acknowledged<T>(
        &mut self,
        call: Call,
        what: String,
        then: Tree,
        f: impl FnOnce(&Hand) -> io::Result<T>,
    ) -> Result<T, End> {
        self.maybe.push(then.clone());
        let out = self.plain(call, what, f)?;
        self.settle(then)?;
        self.returned(call)?;
        Ok(out)
    }

    /// Makes a call that promises nothing yet: from here on `then` may be there.
    pub fn promised<T>(
        &mut self,
        call: Call,
        what: String,
        then: Tree,
        f: impl FnOnce(&Hand) -> io::Result<T>,
    ) -> Result<T, End> {
        self.maybe.push(then);
        let out = self.plain(call, what, f)?;
        self.returned(call)?;
        Ok(out)
    }

    /// This is there, and nothing else.
    pub fn settle(&mut self, then: Tree) -> Result<(), End> {
        self.sure = then;
        self.maybe = vec![self.sure.clone()];
        Ok(())
    }

    /// Makes a call that changes nothing.
    pub fn looked<T>(&mut self, what: &str, f: impl FnOnce(&Hand) -> io::Result<T>) -> Result<T, End> {
        f(self).map_err(|e| self.failed(what, &e))
    }

    fn plain<T>(
        &mut self,
        call: Call,
        what: String,
        f: impl FnOnce(&Hand) -> io::Result<T>,
    ) -> Result<T, End> {
        self.note(format!("{call:?} {what}"));
        f(self).map_err(|e| self.failed(&what, &e))
    }

    fn failed(&mut self, what: &str, e: &io::Error) -> End {
        self.note(format!("   failed: {e}"));
        match self.is_over() {
            true => End::Killed,
            false => End::Broken(format!("{}: {what}: {e}", self.name)),
        }
    }

    /// Whether the program was killed, or is about to be.
    pub fn is_over(&self) -> bool {
        self.killer.as_ref().is_some_and(Killer::has_killed)
    }

    /// Dies here if that is the plan.
    fn returned(&mut self, call: Call) -> Result<(), End> {
        let Some(stop) = self.stop.as_mut().filter(|stop| stop.call == call) else { return Ok(()) };
        stop.nth -= 1;
        if stop.nth > 0 {
            return Ok(());
        }
        self.note(format!("   killed after this {call:?}"));
        self.reached = true;
        if let Some(killer) = &self.killer {
            killer.kill();
        }
        Err(End::Killed)
    }
}
