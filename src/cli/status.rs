//! `inxtfs status`.

use std::io::IsTerminal;
use std::path::PathBuf;

use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::item::Item;
use super::term::{bytes, changes, plain};
use super::{brake, flush, limits, term, watch};
use crate::control;
use crate::control::client::Found;
use crate::control::wire::Identity;
use crate::fs::{Bandwidth, Conflicts, ItemState, QueueItem, SessionState, Status};

/// Items shown of a queue; `--json` has up to a hundred.
const SHOWN: usize = 12;

/// Shows what running mounts are doing: queue, transfers, errors, cache, quota, session. Of a file or folder on one:
/// whether it is sent, and how much of it is here.
///
/// With -q it prints nothing and ends with 0 only if all is on the server, so that `inxtfs status -q && systemctl
/// poweroff` waits for nobody and loses nothing; 10, 11 or 3 say why not (see the exit codes).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which mount, or which file or folder; all mounts if left out.
    path: Option<PathBuf>,
    /// Print JSON: `{"mounts": [{"mount": …, "status": …}]}`, or `{"item": …}`.
    #[arg(long)]
    json: bool,
    /// Go on showing, with rates, graphs and the time left, until Ctrl-C; without a terminal a line a second.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    mounts: Vec<Mount<'a>>,
}

#[derive(Serialize)]
struct Of<'a> {
    item: &'a Item,
}

#[derive(Serialize)]
struct Mount<'a> {
    mount: &'a Identity,
    status: &'a Status,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let client = ctx.mounts()?;
    if args.watch {
        return block_on(watch::run(&client, args.path.as_deref()));
    }
    let found = block_on(async {
        match &args.path {
            Some(path) => Ok(vec![client.status(path).await]),
            None => Ok(client.all().await),
        }
    })?;
    // Only now: a look at a mount itself may wait for it.
    if let (Some(path), [Err(control::Error::NotRunning(_))]) = (&args.path, &found[..])
        && let Some(item) = Item::read(path)
    {
        return tell_item(&item, args.json);
    }
    let mut mounts = Vec::new();
    let mut failed = None;
    for one in found {
        match one {
            Ok(mount) => mounts.push(mount),
            Err(e) => failed = Some(e),
        }
    }
    if ctx.quiet && !args.json {
        let worst = mounts.iter().map(|f| flush::rest(&f.status)).max_by_key(|exit| exit.code());
        return failed.map_or(Ok(worst.unwrap_or(Exit::Ok)), |e| Err(e.into()));
    }
    if args.json {
        let answer =
            Answer { mounts: mounts.iter().map(|f| Mount { mount: &f.mount, status: &f.status }).collect() };
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        mounts.iter().for_each(print);
        if mounts.is_empty() && failed.is_none() {
            println!("No mount is running.");
        }
    }
    match failed {
        Some(e) => Err(e.into()),
        None => Ok(Exit::Ok),
    }
}

fn tell_item(item: &Item, json: bool) -> anyhow::Result<Exit> {
    if json {
        println!("{}", serde_json::to_string_pretty(&Of { item })?);
    } else {
        item.print();
    }
    Ok(Exit::Ok)
}

fn print(found: &Found) {
    let Found { mount, status } = found;
    let bold = |text: &str| {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        if colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    };
    let read_only = if mount.read_only { ", read-only" } else { "" };
    let profile = mount.profile.as_ref().map(|name| format!(", account {name}")).unwrap_or_default();
    println!("{}  ({}{profile}{read_only}, process {})", bold(&mount.mountpoint), status.account, mount.pid);
    println!("  session  {}", session(&status.session));
    if let Some(warning) = &status.warning {
        println!("  warning  {}", plain(warning));
    }
    if let Some(words) = brake::words(status, Some(&mount.mountpoint)) {
        println!("  deletes  {}", plain(&words));
    }
    for lost in status.lost.iter().take(SHOWN) {
        println!("  lost     {}", plain(lost));
    }
    if let Some(words) = kept(&status.conflicts) {
        println!("  kept     {words}");
    }
    if status.paused {
        println!("  paused   nothing is sent; `inxtfs resume` goes on");
    }
    println!("  queue    {}", queue(status));
    for item in status.queue.iter().take(SHOWN) {
        println!("           {}", line(item));
        if let Some(next) = next_step(item) {
            println!("             {next}");
        }
    }
    let hidden = status.totals.items.saturating_sub(status.queue.len().min(SHOWN) as u64);
    if hidden > 0 {
        println!("           and {hidden} more");
    }
    if status.bandwidth != Bandwidth::default() {
        let Bandwidth { up, down } = status.bandwidth;
        println!("  limits   up {}, down {}", limits::words(up), limits::words(down));
    }
    println!("  cache    {} of {}", bytes(status.cache_used), bytes(status.cache_size));
    if status.pinned.pins > 0 {
        println!("  pinned   {}", pinned(status));
    }
    println!("  staged   {}", bytes(status.staged));
    if let (Some(used), Some(total)) = (status.quota_used, status.quota_total) {
        println!("  quota    {} of {}", bytes(used), bytes(total));
    }
    let known = if status.hydrated { "" } else { ", still listing" };
    println!("  tree     {} known{known}", status.nodes);
}

/// What was changed here and elsewhere since the mount began.
fn kept(conflicts: &Conflicts) -> Option<String> {
    let last = conflicts.last.as_deref().map(plain).unwrap_or_default();
    match conflicts.made {
        0 => None,
        1 => Some(format!("a conflict copy, {last}; compare and choose (`inxtfs conflicts`)")),
        n => Some(format!("{n} conflict copies, the last {last}; compare and choose (`inxtfs conflicts`)")),
    }
}

fn pinned(status: &Status) -> String {
    let all = &status.pinned;
    let problem = all.problem.as_ref().map(|p| format!("; {}", plain(p))).unwrap_or_default();
    format!("{} of {} here{problem}", bytes(all.here), bytes(all.bytes))
}

/// Session and network, in words.
pub fn session(state: &SessionState) -> String {
    match state {
        SessionState::Online => "online".to_owned(),
        SessionState::Offline { since: 0, why } => format!("offline: {}; goes on by itself", plain(why)),
        SessionState::Offline { since, why } => {
            format!("offline for {}: {}; goes on by itself", term::since(*since), plain(why))
        }
        SessionState::LoggedOut { why } => logged_out(why),
    }
}

/// The cause and the next step; some causes bring their own.
pub fn logged_out(why: &str) -> String {
    let step = if why.contains("inxtfs") || why.contains("plan") { "" } else { "; run `inxtfs login`" };
    format!("logged out: {}{step}", plain(why))
}

fn queue(status: &Status) -> String {
    let t = status.totals;
    if t.items == 0 {
        return "empty: everything is on the server".to_owned();
    }
    let mut text = format!("{} ({}), {} being sent", changes(t.items), bytes(t.bytes), t.sending);
    if t.blocked > 0 {
        text.push_str(&format!(", {} blocked", t.blocked));
    }
    text
}

/// An item of the queue in one line.
pub fn line(item: &QueueItem) -> String {
    let state = match item.state {
        ItemState::Waiting => "waiting".to_owned(),
        ItemState::Sending if item.size > 0 => format!("{} of {}", bytes(item.sent), bytes(item.size)),
        ItemState::Sending => "being sent".to_owned(),
        ItemState::Retrying => format!("tried {} times", item.tries),
        ItemState::Blocked => "blocked".to_owned(),
    };
    let why = item.error.as_ref().map(|e| format!(": {}", plain(e))).unwrap_or_default();
    format!("{} {} ({state}{why})", item.what, plain(&item.path))
}

/// What would help a blocked item, and how commands name it.
fn next_step(item: &QueueItem) -> Option<String> {
    item.remedy.as_ref().map(|remedy| format!("{remedy} (id {})", item.ino))
}

/// The blocked items and what would help, on standard error.
pub fn print_blocked(status: &Status) {
    // Deletes that are held back are told in one sentence, all together.
    let held = |i: &QueueItem| status.brake.is_some() && i.what == "delete";
    for item in status.queue.iter().filter(|i| i.state == ItemState::Blocked && !held(i)) {
        eprintln!("  {}", line(item));
        if let Some(next) = next_step(item) {
            eprintln!("    {next}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_copies_are_told_with_the_next_step() {
        let of = |made, last: Option<&str>| kept(&Conflicts { made, last: last.map(str::to_owned) });
        assert_eq!(of(0, None), None);
        let one = of(1, Some("a\x1b (conflict h 2026-01-02)")).unwrap();
        assert!(
            one.starts_with("a conflict copy, a? (conflict") && one.contains("inxtfs conflicts"),
            "{one}"
        );
        assert!(of(2, Some("b")).unwrap().starts_with("2 conflict copies, the last b;"));
    }

    #[test]
    fn a_line_tells_state_and_reason_and_cannot_drive_the_terminal() {
        let mut item = QueueItem {
            ino: 7,
            path: "/a\x1b[2Jb".to_owned(),
            what: "upload".to_owned(),
            state: ItemState::Sending,
            size: 2048,
            sent: 1024,
            tries: 0,
            error: None,
            reason: None,
            remedy: None,
        };
        assert_eq!(next_step(&item), None);
        assert_eq!(line(&item), "upload /a?[2Jb (1.0 KiB of 2.0 KiB)");
        item.state = ItemState::Blocked;
        item.error = Some("the account's storage is full".to_owned());
        item.remedy = Some("free space".to_owned());
        assert_eq!(line(&item), "upload /a?[2Jb (blocked: the account's storage is full)");
        assert_eq!(next_step(&item).unwrap(), "free space (id 7)");
    }
}
