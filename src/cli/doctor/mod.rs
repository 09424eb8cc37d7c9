//! `inxtfs doctor`: looks at everything a mount depends on, and says what would mend what is wrong.

mod bundle;
mod finding;
mod login;
mod mounts;
mod system;

use std::io::IsTerminal;
use std::path::PathBuf;

use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::term::plain;
use finding::{Finding, Level};

/// Looks at everything that mounts depend on: FUSE, permissions, the login, the service, the clock, room, mounts.
///
/// Each finding that needs something done says what. Ends with 15 if something keeps mounts from working, and with 0 if
/// there is nothing, or only what is worth knowing. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: `{"program": …, "well": …, "findings": [{"check": …, "level": …, "says": …, "remedy": …}]}`.
    #[arg(long)]
    json: bool,
    /// Write a report for others to FILE, which must not exist: findings and figures, without email, names of files,
    /// or places. Look into it before you send it.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer<'a> {
    program: &'static str,
    well: bool,
    findings: &'a [Finding],
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let found = block_on(look(ctx))?;
    let well = found.findings.iter().all(|f| f.level != Level::Fail);
    if args.json {
        let answer = Answer { program: env!("CARGO_PKG_VERSION"), well, findings: &found.findings };
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print(&found.findings);
    }
    if let Some(file) = &args.bundle {
        bundle::write(file, &found)?;
        ctx.say(&format!("The report is in {}; look into it before you send it.", file.display()));
    }
    Ok(if well { Exit::Ok } else { Exit::Unwell })
}

/// All that was found, and what a report must not tell.
struct Found {
    findings: Vec<Finding>,
    email: Option<String>,
    account: Option<String>,
    mounts: Vec<crate::control::client::Found>,
}

async fn look(ctx: &Context) -> anyhow::Result<Found> {
    let facts = crate::fuse::facts();
    let mut findings = system::fuse(&facts);
    findings.push(system::apparmor());
    let (login, credentials) = login::stored(ctx);
    findings.extend(login);
    findings.extend(login::service(ctx, credentials.as_ref()).await);
    findings.extend(system::room(credentials.as_ref()));
    findings.push(system::control(ctx));
    let (of_mounts, running) = mounts::look(ctx, &facts).await?;
    findings.extend(of_mounts);
    Ok(Found {
        findings,
        email: credentials.as_ref().map(|c| c.email.clone()),
        account: credentials.as_ref().map(|c| c.account.clone()),
        mounts: running,
    })
}

fn print(findings: &[Finding]) {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for finding in findings {
        let (word, paint) = match finding.level {
            Level::Ok => ("ok  ", "32"),
            Level::Note => ("note", "36"),
            Level::Warn => ("warn", "33"),
            Level::Fail => ("FAIL", "31"),
        };
        let word = if colour { format!("\x1b[{paint}m{word}\x1b[0m") } else { word.to_owned() };
        println!("{word}  {:<12}{}", finding.check, plain(&finding.says));
        if let Some(remedy) = &finding.remedy {
            println!("                  -> {}", plain(remedy));
        }
    }
}
