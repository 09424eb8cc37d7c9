//! Exit codes. They are an interface: scripts rely on the numbers, which never change their meaning.

use std::io::Write;
use std::process::ExitCode;

use crate::remote::session::{LoginError, SecretsError};
use crate::{control, fs, fuse, remote, store};

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Anything that has no number of its own.
    Other = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No login, or the session has ended.
    NotLoggedIn = 3,
    /// Email, password or code are wrong.
    WrongCredentials = 4,
    /// The credentials are right, but the plan does not include this kind of access.
    Plan = 5,
    /// The service cannot be reached.
    Offline = 6,
    /// The mountpoint is missing, taken, not empty, or holds a dead mount.
    Mountpoint = 7,
    /// FUSE is missing or not permitted.
    Fuse = 8,
    /// The cache is used by another process, belongs to another account, or cannot be read or written.
    Cache = 9,
    /// Something is not sent yet. It is kept and sent later.
    Unsent = 10,
    /// Something cannot be sent until a person does something; `inxtfs status` says what. It is kept.
    Blocked = 11,
    /// No mount is running there.
    NotRunning = 12,
    /// Files are open below the mountpoint.
    Busy = 13,
    /// Exported, but some bytes could not be read.
    Incomplete = 14,
    /// Something keeps mounts from working.
    Unwell = 15,
    /// Content does not match its hash.
    Damaged = 16,
    /// There is a login, and what opens it cannot be had here or now.
    KeyAway = 17,
    /// Interrupted while waiting; the mount goes on.
    Interrupted = 130,
}

impl Exit {
    /// All of them.
    pub const ALL: [Exit; 19] = [
        Exit::Ok,
        Exit::Other,
        Exit::Usage,
        Exit::NotLoggedIn,
        Exit::WrongCredentials,
        Exit::Plan,
        Exit::Offline,
        Exit::Mountpoint,
        Exit::Fuse,
        Exit::Cache,
        Exit::Unsent,
        Exit::Blocked,
        Exit::NotRunning,
        Exit::Busy,
        Exit::Incomplete,
        Exit::Unwell,
        Exit::Damaged,
        Exit::KeyAway,
        Exit::Interrupted,
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The one with this number; [`Exit::Other`] for a number that is none of ours.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|e| e.code() == code).unwrap_or(Exit::Other)
    }

    /// What it means, for the table.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "done",
            Exit::Other => "something else went wrong; the message says what",
            Exit::Usage => "the command line makes no sense",
            Exit::NotLoggedIn => "not logged in, or the session has ended",
            Exit::WrongCredentials => "email, password, code or backup key are wrong",
            Exit::Plan => "the account's plan does not include this kind of access",
            Exit::Offline => "the service cannot be reached",
            Exit::Mountpoint => "the mountpoint is missing, taken, not empty, or holds a dead mount",
            Exit::Fuse => "FUSE is missing or not permitted",
            Exit::Cache => "the cache is in use, belongs to another account, or cannot be read or written",
            Exit::Unsent => "something is not sent yet; it is kept and sent later",
            Exit::Blocked => "something cannot be sent until you act; it is kept, `inxtfs status` says why",
            Exit::NotRunning => "no mount is running there",
            Exit::Busy => "files are open below the mountpoint",
            Exit::Incomplete => "exported, but some bytes could not be read; the message says which",
            Exit::Unwell => "`inxtfs doctor` found what keeps mounts from working",
            Exit::Damaged => "content on the server does not match its hash; the message says which",
            Exit::KeyAway => {
                "the login cannot be opened: its keyring is locked or away; the message says what would help"
            }
            Exit::Interrupted => "interrupted while waiting; the mount goes on",
        }
    }

    /// The next step, where the cause alone does not tell it.
    fn hint(self) -> Option<&'static str> {
        match self {
            Exit::NotLoggedIn => Some("Run `inxtfs login`."),
            Exit::Plan => Some("Internxt decides by plan who may use other clients; see your plan's page."),
            Exit::Offline => Some("A mount that is running goes on and sends later."),
            Exit::NotRunning => Some("`inxtfs status` lists the running mounts."),
            Exit::Busy => Some("`fuser -vm MOUNTPOINT` lists who uses it."),
            _ => None,
        }
    }

    /// An error that ends with this code.
    pub fn because(self, message: impl Into<String>) -> anyhow::Error {
        Problem { exit: self, message: message.into() }.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// A problem that a command found itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Problem {
    exit: Exit,
    message: String,
}

/// The first cause that has a number decides.
impl From<&anyhow::Error> for Exit {
    fn from(error: &anyhow::Error) -> Self {
        error.chain().find_map(classify).unwrap_or(Exit::Other)
    }
}

fn classify(error: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return Some(problem.exit);
    }
    if let Some(e) = error.downcast_ref::<LoginError>() {
        return of_login(e);
    }
    if let Some(SecretsError::KeyAway { .. }) = error.downcast_ref::<SecretsError>() {
        return Some(Exit::KeyAway);
    }
    if let Some(e) = error.downcast_ref::<remote::Error>() {
        return of_remote(e);
    }
    if error.is::<store::Error>() {
        // Only a start meets one: the cache directory cannot be used.
        return Some(Exit::Cache);
    }
    if let Some(e) = error.downcast_ref::<fuse::MountError>() {
        return of_mount(e);
    }
    if let Some(e) = error.downcast_ref::<control::Error>() {
        return of_control(e);
    }
    error.downcast_ref::<fs::Error>().and_then(of_fs)
}

fn of_login(error: &LoginError) -> Option<Exit> {
    use LoginError as E;
    match error {
        E::WrongPassword | E::WrongTotp | E::TotpNeeded | E::Blocked(_) => Some(Exit::WrongCredentials),
        E::ForeignBackupKey | E::BadMnemonic => Some(Exit::WrongCredentials),
        E::Ended => Some(Exit::NotLoggedIn),
        E::PlanAccess(_) => Some(Exit::Plan),
        E::Offline(_) | E::Busy(_) => Some(Exit::Offline),
        E::WebLoginNeeded | E::Protocol(_) => None,
    }
}

fn of_remote(error: &remote::Error) -> Option<Exit> {
    match error {
        remote::Error::SessionLost => Some(Exit::NotLoggedIn),
        remote::Error::PlanAccess(_) => Some(Exit::Plan),
        remote::Error::Offline(_) => Some(Exit::Offline),
        _ => None,
    }
}

fn of_mount(error: &fuse::MountError) -> Option<Exit> {
    use fuse::MountError as E;
    match error {
        E::NoDevice | E::DeviceDenied | E::NoHelper | E::AllowOther => Some(Exit::Fuse),
        E::Busy(..) => Some(Exit::Busy),
        E::Slow(_) | E::Unmount(..) => None,
        _ => Some(Exit::Mountpoint),
    }
}

fn of_control(error: &control::Error) -> Option<Exit> {
    match error {
        control::Error::NotRunning(_) => Some(Exit::NotRunning),
        control::Error::Busy(_) => Some(Exit::Busy),
        control::Error::Unknown(_) => Some(Exit::Usage),
        _ => None,
    }
}

fn of_fs(error: &fs::Error) -> Option<Exit> {
    match error {
        fs::Error::Offline => Some(Exit::Offline),
        fs::Error::LoggedOut => Some(Exit::NotLoggedIn),
        _ => None,
    }
}

/// Tells a failure to people: cause, then next step.
pub fn report(error: &anyhow::Error) -> Exit {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{PREFIX}{}", advice(error));
    Exit::from(error)
}

/// What a failure begins with.
pub const PREFIX: &str = "inxtfs: ";

/// The causes in a line, and the next step in another where they do not tell it.
pub fn advice(error: &anyhow::Error) -> String {
    let mut text = told(error);
    // Some causes bring a better one.
    if let Some(hint) = Exit::from(error).hint().filter(|_| !text.contains("`inxtfs login")) {
        text.push('\n');
        text.push_str(hint);
    }
    text
}

/// The chain of causes, without a cause that the message before it has already told.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

/// The table for `--help`.
pub fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn every_number_is_documented_once() {
        let readme = include_str!("../../README.md");
        for (i, exit) in Exit::ALL.into_iter().enumerate() {
            assert!(Exit::ALL[..i].iter().all(|other| other.code() != exit.code()));
            assert_eq!(Exit::from_code(exit.code()), exit);
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(readme.contains(&row), "README lacks: {row}");
        }
    }

    #[test]
    fn the_cause_decides_however_deep_it_is() {
        let deep = Err::<(), _>(remote::Error::Offline("no route".to_owned())).context("asking for usage");
        assert_eq!(Exit::from(&deep.unwrap_err()), Exit::Offline);
        let login = LoginError::PlanAccess("rclone".to_owned());
        assert_eq!(Exit::from(&anyhow::Error::from(login)), Exit::Plan);
        assert_eq!(Exit::from(&Exit::Busy.because("open files").context("unmounting")), Exit::Busy);
        assert_eq!(Exit::from(&anyhow::anyhow!("else")), Exit::Other);
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("disk full").context("writing state failed: disk full");
        assert_eq!(told(&error), "writing state failed: disk full");
        assert_eq!(told(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}
