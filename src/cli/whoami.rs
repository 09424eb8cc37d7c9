//! `inxtfs whoami`.

use std::time::Duration;

use serde::Serialize;

use super::context::{Context, block_on};
use super::exit::Exit;
use super::{account, term};
use crate::api::Tuning;
use crate::remote::{self, Limits, Remote, Usage};

/// How long to wait for the service before telling only what is known here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shows who is logged in, and what the plan offers if the service can be asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    email: String,
    account: String,
    gateway: String,
    online: bool,
    usage: Option<Usage>,
    limits: Option<Limits>,
    error: Option<String>,
}

/// Runs it.
pub fn run(args: Args, ctx: &Context) -> anyhow::Result<Exit> {
    let (credentials, asked) = block_on(async {
        let (credentials, remote) = account::connect(ctx, Tuning::default())?;
        Ok((credentials, facts(&remote).await))
    })?;
    // Offline is a fact to tell; a session that has ended is an answer to the question.
    let lost = matches!(asked, Err(remote::Error::SessionLost));
    let (facts, error) = match asked {
        Ok(facts) => (Some(facts), None),
        Err(e) => (None, Some(e.to_string())),
    };
    let answer = Answer {
        email: credentials.email.clone(),
        account: credentials.account.clone(),
        gateway: account::gateway(&credentials, ctx)?.as_str().to_owned(),
        online: facts.is_some(),
        usage: facts.map(|(usage, _)| usage),
        limits: facts.map(|(_, limits)| limits),
        error,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print(&answer);
    }
    Ok(if lost { Exit::NotLoggedIn } else { Exit::Ok })
}

async fn facts(remote: &dyn Remote) -> remote::Result<(Usage, Limits)> {
    let both = async { Ok((remote.usage().await?, remote.limits().await?)) };
    let late = || Err(remote::Error::Offline("no answer in time".to_owned()));
    tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| late())
}

fn print(answer: &Answer) {
    println!("{}", answer.email);
    println!("account    {}", answer.account);
    println!("service    {}", answer.gateway);
    if let Some(usage) = answer.usage {
        println!("used       {} of {}", term::bytes(usage.used), term::bytes(usage.total));
    }
    if let Some(max) = answer.limits.and_then(|l| l.max_file) {
        println!("max. file  {}", term::bytes(max));
    }
    if let Some(error) = &answer.error {
        println!("offline    {error}");
    }
}
