//! The login, the service it is for, and what the plan gives.

use std::time::Duration;

use super::finding::{Finding, Level};
use crate::api::{ClientId, Http, Tuning};
use crate::cli::context::Context;
use crate::cli::{account, term};
use crate::remote::session::{Credentials, Secrets as _, SecretsError};
use crate::remote::{self, Remote, Usage};

/// A clock that is off by more makes times of files wrong by as much.
const OFF: u64 = 120;
/// One that is off by more makes the service's tokens and certificates look ended.
const FAR_OFF: u64 = 3600;
/// How long the service may take for all of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The stored login.
pub fn stored(ctx: &Context) -> (Vec<Finding>, Option<Credentials>) {
    const CHECK: &str = "login";
    let failed = |e: String| {
        let remedy = "do what it says, or `inxtfs login`";
        (vec![Finding::new(CHECK, Level::Fail, e, remedy)], None)
    };
    let dir = match ctx.config_dir() {
        Ok(dir) => dir,
        Err(e) => return failed(e.to_string()),
    };
    let remedy = ctx.account.as_ref().map_or("`inxtfs login`".to_owned(), |name| {
        format!("`inxtfs login --account {name}`; `inxtfs account list` lists those there are")
    });
    let nobody = Finding::new(CHECK, Level::Fail, "nobody is logged in", remedy);
    if !dir.exists() {
        return (vec![nobody], None);
    }
    let file = match account::file(ctx) {
        Ok(file) => file,
        Err(e) => return failed(format!("{e:#}")),
    };
    match file.load() {
        // Running mounts go on without it.
        Err(SecretsError::KeyAway { place, why }) => {
            let says =
                format!("the login in {} cannot be opened: its key is in {place}: {why}", dir.display());
            (vec![Finding::new(CHECK, Level::Warn, says, place.remedy())], None)
        }
        Err(e) => failed(format!("{e:#}")),
        Ok(None) => (vec![nobody], None),
        Ok(Some(credentials)) => {
            let key = file.place().ok().flatten().map(|p| format!(", its key in {p}")).unwrap_or_default();
            let says = format!("{}, sealed for this machine in {}{key}", credentials.email, dir.display());
            (vec![Finding::ok(CHECK, says)], Some(credentials))
        }
    }
}

/// The way to the service, its clock, the session, the plan, the quota.
pub async fn service(ctx: &Context, credentials: Option<&Credentials>) -> Vec<Finding> {
    const CHECK: &str = "network";
    let gateway = match credentials {
        Some(credentials) => account::gateway(credentials, ctx),
        None => ctx.gateway(),
    };
    let gateway = match gateway {
        Ok(gateway) => gateway,
        Err(e) => return vec![Finding::new(CHECK, Level::Fail, e.to_string(), "correct --gateway")],
    };
    let address = gateway.as_str().to_owned();
    let http = Http::new(gateway, ClientId::random(), Tuning::default());
    let asked = match http {
        Ok(http) => {
            let late = || crate::api::Error::Lost("no answer in time".to_owned());
            tokio::time::timeout(PATIENCE, http.probe()).await.unwrap_or_else(|_| Err(late()))
        }
        Err(e) => Err(e),
    };
    let probe = match asked {
        Ok(probe) => probe,
        Err(e) => {
            let says = format!("{address} cannot be reached: {e}");
            let remedy = "check the network, its name server and proxy; mounts go on offline and send later";
            return vec![Finding::new(CHECK, Level::Fail, says, remedy)];
        }
    };
    let mut findings =
        vec![Finding::ok(CHECK, format!("{address} answers, after {} ms", probe.took.as_millis()))];
    findings.extend(probe.date.map(|there| clock(there, jiff::Timestamp::now().as_second())));
    if credentials.is_some() {
        findings.extend(session(ctx).await);
    }
    findings
}

fn clock(there: i64, here: i64) -> Finding {
    const CHECK: &str = "clock";
    let off = there.abs_diff(here);
    if off <= OFF {
        return Finding::ok(CHECK, format!("{off} s off the service's"));
    }
    let level = if off <= FAR_OFF { Level::Warn } else { Level::Fail };
    let way = if here > there { "ahead of" } else { "behind" };
    let says = format!("this machine's clock is {off} s {way} the service's");
    Finding::new(CHECK, level, says, "`timedatectl set-ntp true` (as root), or set the clock")
}

async fn session(ctx: &Context) -> Vec<Finding> {
    const CHECK: &str = "session";
    let remote = match account::connect(ctx, Tuning::default()) {
        Ok((_, remote)) => remote,
        Err(e) => return vec![Finding::new(CHECK, Level::Fail, format!("{e:#}"), "`inxtfs login`")],
    };
    let both = async { Ok((remote.usage().await?, remote.limits().await?)) };
    let late = || Err(remote::Error::Offline("no answer in time".to_owned()));
    match tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| late()) {
        Ok((usage, limits)) => {
            let largest =
                limits.max_file.map_or("any size".to_owned(), |n| format!("up to {}", term::bytes(n)));
            vec![
                Finding::ok(CHECK, "the service takes it"),
                Finding::ok("plan", format!("{}, files of {largest}", term::bytes(usage.total))),
                quota(usage),
            ]
        }
        Err(e) => vec![not_taken(&e)],
    }
}

fn not_taken(e: &remote::Error) -> Finding {
    match e {
        remote::Error::SessionLost => Finding::new(
            "session",
            Level::Fail,
            "it has ended",
            "`inxtfs login`; a running mount goes on by itself",
        ),
        remote::Error::PlanAccess(why) => Finding::new(
            "plan",
            Level::Fail,
            format!("it does not include this kind of access: {why}"),
            "Internxt decides by plan who may use other clients; see your plan's page",
        ),
        other => {
            Finding::new("session", Level::Warn, other.to_string(), "try again; mounts try by themselves")
        }
    }
}

fn quota(usage: Usage) -> Finding {
    const CHECK: &str = "quota";
    let free = usage.total.saturating_sub(usage.used);
    let says = format!("{} of {} used", term::bytes(usage.used), term::bytes(usage.total));
    let remedy = "empty the trash (`inxtfs trash empty`), delete what is not needed, or upgrade the plan";
    if free == 0 {
        Finding::new(CHECK, Level::Fail, format!("{says}: nothing can be sent"), remedy)
    } else if free < usage.total / 20 {
        Finding::new(CHECK, Level::Warn, says, remedy)
    } else {
        Finding::ok(CHECK, says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        assert_eq!(clock(1000, 1005).level, Level::Ok);
        let ahead = clock(1000, 1600);
        assert!(ahead.level == Level::Warn && ahead.says.contains("600 s ahead of"), "{ahead:?}");
        let behind = clock(100_000, 0);
        assert!(behind.level == Level::Fail && behind.says.contains("behind"), "{behind:?}");
        assert!(behind.remedy.unwrap().contains("set-ntp"));
    }

    #[test]
    fn room_at_the_service_is_judged_before_it_is_gone() {
        let of = |used| quota(Usage { used, total: 1000 }).level;
        assert_eq!(
            [of(0), of(949), of(960), of(1000), of(2000)],
            [Level::Ok, Level::Ok, Level::Warn, Level::Fail, Level::Fail]
        );
    }

    #[test]
    fn a_session_that_ended_and_a_plan_that_does_not_do_are_told_apart() {
        assert!(not_taken(&remote::Error::SessionLost).remedy.unwrap().contains("inxtfs login"));
        assert_eq!(not_taken(&remote::Error::PlanAccess("free".to_owned())).check, "plan");
        assert_eq!(not_taken(&remote::Error::Offline("x".to_owned())).level, Level::Warn);
    }
}
