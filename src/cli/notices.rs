//! Messages on the desktop (`mount --notify`), through `notify-send` where there is one: few, and never twice in a row.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::term::{changes, plain};
use crate::fs::{Fs, ItemState, SessionState, Status};

/// Between two looks.
const TICK: Duration = Duration::from_secs(2);
/// Between two messages of one kind.
const REST: Duration = Duration::from_secs(300);
/// A queue that was waited for is worth a word when it is empty.
const WORTH: Duration = Duration::from_secs(30);

/// Tells a person what needs one.
pub async fn tell(fs: Arc<Fs>) {
    let mut seen = Seen::default();
    loop {
        let looked = Arc::clone(&fs);
        let Ok(status) = tokio::task::spawn_blocking(move || looked.status()).await else { return };
        for (title, text) in seen.news(&status, Instant::now()) {
            send(title, &text);
        }
        tokio::time::sleep(TICK).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blocked,
    Conflict,
    Session,
    Saved,
}

/// What was told, and what is known to be so.
#[derive(Default)]
struct Seen {
    blocked: u64,
    conflicts: u64,
    logged_out: bool,
    busy_since: Option<Instant>,
    told: Vec<(Kind, Instant)>,
}

impl Seen {
    fn news(&mut self, status: &Status, now: Instant) -> Vec<(&'static str, String)> {
        let mut news = Vec::new();
        let t = status.totals;
        if t.blocked > self.blocked && self.may(Kind::Blocked, now) {
            let first = status.queue.iter().find(|i| i.state == ItemState::Blocked);
            let what = first.map_or(String::new(), |i| {
                format!("{}: {}", plain(&i.path), plain(i.error.as_deref().unwrap_or("refused")))
            });
            news.push((
                "Something cannot be sent",
                format!("{what}\n{} in all; `inxtfs failed list`", changes(t.blocked)),
            ));
        }
        self.blocked = t.blocked;
        let made = status.conflicts.made;
        // What comes too soon after another is told with the next.
        if made > self.conflicts && self.may(Kind::Conflict, now) {
            let last = plain(status.conflicts.last.as_deref().unwrap_or_default());
            let more = match made - self.conflicts {
                1 => String::new(),
                n => format!(", and {} more", n - 1),
            };
            news.push((
                "Changed here and elsewhere",
                format!("Both versions are kept: {last}{more}\nCompare and choose; `inxtfs conflicts`"),
            ));
            self.conflicts = made;
        }
        let logged_out = matches!(status.session, SessionState::LoggedOut { .. });
        if logged_out && !self.logged_out && self.may(Kind::Session, now) {
            news.push((
                "Internxt Drive is logged out",
                "Changes are kept; `inxtfs login` sends them.".to_owned(),
            ));
        }
        self.logged_out = logged_out;
        match (self.busy_since, t.items) {
            (None, 1..) => self.busy_since = Some(now),
            (Some(since), 0) => {
                self.busy_since = None;
                if now.duration_since(since) >= WORTH && self.may(Kind::Saved, now) {
                    news.push(("Internxt Drive", "Everything is on the server.".to_owned()));
                }
            }
            _ => {}
        }
        news
    }

    fn may(&mut self, kind: Kind, now: Instant) -> bool {
        self.told.retain(|(_, at)| now.duration_since(*at) < REST);
        if self.told.iter().any(|(k, _)| *k == kind) {
            return false;
        }
        self.told.push((kind, now));
        true
    }
}

/// Shows a message, if there is a desktop.
pub fn send(title: &str, text: &str) {
    let mut command = Command::new("notify-send");
    command.args(["--app-name=inxtfs", "--icon=inxtfs", "--", title, text]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        // Somebody has to take note of its end.
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(e) => tracing::debug!(error = %e, "no desktop to tell"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Bandwidth, Conflicts, Pinned, Totals, Traffic};

    fn status(items: u64, blocked: u64, session: SessionState) -> Status {
        Status {
            account: String::new(),
            session,
            warning: None,
            brake: None,
            lost: Vec::new(),
            conflicts: Conflicts::default(),
            totals: Totals { items, sending: 0, blocked, bytes: 0 },
            queue: Vec::new(),
            bandwidth: Bandwidth::default(),
            paused: false,
            traffic: Traffic::default(),
            cache_used: 0,
            cache_size: 0,
            pinned: Pinned::default(),
            staged: 0,
            quota_used: None,
            quota_total: None,
            hydrated: true,
            last_sync: None,
            nodes: 1,
        }
    }

    #[test]
    fn conflict_copies_are_told_all_of_them_and_not_too_often() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let mut at = |secs, made| {
            let mut now = status(0, 0, SessionState::Online);
            now.conflicts = Conflicts { made, last: Some(format!("n{made}\x07")) };
            let news = seen.news(&now, start + Duration::from_secs(secs));
            news.into_iter().map(|(_, text)| text).collect::<String>()
        };
        assert_eq!(at(0, 0), "");
        assert!(at(2, 1).contains("kept: n1?\n"), "a name drives nothing");
        assert_eq!(at(4, 1), "");
        assert_eq!(at(6, 3), "", "too soon");
        assert!(at(400, 3).contains("n3?, and 1 more"));
        assert_eq!(at(402, 3), "");
    }

    #[test]
    fn news_are_told_once_and_not_too_often() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let mut at = |secs, items, blocked, out: bool| {
            let session =
                if out { SessionState::LoggedOut { why: String::new() } } else { SessionState::Online };
            seen.news(&status(items, blocked, session), start + Duration::from_secs(secs)).len()
        };
        assert_eq!(at(0, 1, 1, false), 1, "blocked");
        assert_eq!(at(2, 1, 1, false), 0, "the same");
        assert_eq!(at(4, 2, 2, false), 0, "another one, too soon");
        assert_eq!(at(6, 2, 2, true), 1, "another kind");
        assert_eq!(at(8, 0, 0, false), 0, "saved, but not for long");
        assert_eq!(at(10, 5, 0, false), 0);
        assert_eq!(at(50, 0, 0, false), 1, "saved after a while");
        assert_eq!(at(400, 1, 1, false), 1, "after a rest");
    }
}
