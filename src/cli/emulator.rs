//! `inxtfs emulator`: a local server that answers as Internxt does.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::emulator::{AccountSpec, Config, Emulator, Fault, Settings, TlsConfig};
use crate::units;

/// Serves an Internxt-compatible drive from this machine, for trying things out.
#[derive(clap::Args, Clone, Debug)]
pub struct EmulatorArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Speak TLS, with an authority of its own (ca.pem in the data directory).
    #[arg(long)]
    pub tls: bool,
    /// A further name or address the certificate is for.
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "tls")]
    pub tls_name: Vec<String>,
    /// Keep accounts and files in this directory; without it all is gone at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Delay every request by this much, such as 30ms.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "0")]
    pub latency: Duration,
    /// Limit the bodies of each direction to this rate, such as 100Mbit.
    #[arg(long, value_name = "RATE", value_parser = units::bandwidth)]
    pub bandwidth: Option<u64>,
    /// Refuse requests to the gateway beyond this many a second, with 429.
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Keep what was just written out of sight of listings for this long.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "0")]
    pub replica_lag: Duration,
    /// Delay listings by this much for each row.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "0")]
    pub row_cost: Duration,
    /// Make the trouble described in this JSON file: a list of rules.
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Put some folders and files into the first account.
    #[arg(long)]
    pub sample_data: bool,
}

impl EmulatorArgs {
    fn config(self) -> anyhow::Result<Config> {
        let faults = match &self.faults {
            None => Vec::new(),
            Some(file) => read_faults(file).with_context(|| format!("cannot use {}", file.display()))?,
        };
        let settings = Settings {
            latency: self.latency,
            bandwidth: self.bandwidth,
            rate: self.rate,
            replica_lag: self.replica_lag,
            row_cost: self.row_cost,
            faults,
            ..Settings::default()
        };
        Ok(Config {
            listen: self.listen,
            tls: self.tls.then_some(TlsConfig { names: self.tls_name }),
            data: self.data,
            knobs: settings,
            accounts: AccountSpec::demo(),
        })
    }
}

fn read_faults(file: &std::path::Path) -> anyhow::Result<Vec<Fault>> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Serves until SIGINT or SIGTERM, then saves.
pub async fn run(args: EmulatorArgs) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    serve(args, stop, std::io::stdout()).await
}

/// Serves until `stop`; first says on one line where it is and whom it knows.
async fn serve(
    args: EmulatorArgs,
    stop: impl Future<Output = ()>,
    mut out: impl Write,
) -> anyhow::Result<()> {
    let (listen, samples) = (args.listen, args.sample_data);
    let emulator =
        Emulator::start(args.config()?).with_context(|| format!("cannot start the emulator on {listen}"))?;
    if samples {
        emulator.add_samples().await.context("cannot add the sample data")?;
    }
    let line = json!({
        "endpoints": emulator.endpoints(),
        "ca": emulator.ca_file(),
        "accounts": emulator.shared().world.accounts(),
    });
    writeln!(out, "{line}")?;
    out.flush()?;
    stop.await;
    emulator.shutdown().await.context("cannot save the emulator's state")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: EmulatorArgs,
    }

    fn parse(args: &[&str]) -> Result<EmulatorArgs, clap::Error> {
        Cli::try_parse_from([&["inxtfs"], args].concat()).map(|cli| cli.args)
    }

    #[tokio::test]
    async fn says_where_it_is_on_one_line_and_saves_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let args = parse(&["--tls", "--sample-data", "--data", dir.path().to_str().unwrap()]).unwrap();
        let mut out = Vec::new();
        serve(args.clone(), async {}, &mut out).await.unwrap();
        serve(args, async {}, std::io::sink()).await.expect("samples that are there are left alone");
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line["endpoints"]["gateway"].as_str().unwrap().starts_with("https://127.0.0.1:"));
        assert!(line["accounts"][0]["email"].is_string(), "{line}");
        assert_eq!(line["ca"], dir.path().join("ca.pem").to_str().unwrap());
        assert!(dir.path().join("network.json").exists());
    }

    #[test]
    fn arguments_become_knobs() {
        let dir = tempfile::tempdir().unwrap();
        let faults = dir.path().join("faults.json");
        std::fs::write(&faults, r#"[{"path":"**","action":{"kind":"reset"}}]"#).unwrap();
        let args =
            parse(&["--latency", "30ms", "--bandwidth", "8Mbit", "--faults", faults.to_str().unwrap()]);
        let config = args.unwrap().config().unwrap();
        assert_eq!(config.knobs.latency, Duration::from_millis(30));
        assert_eq!(config.knobs.bandwidth, Some(1_000_000));
        assert_eq!(config.knobs.faults.len(), 1);
        assert!(parse(&["--tls-name", "x"]).is_err(), "a name without --tls would do nothing");

        std::fs::write(&faults, "{").unwrap();
        let error = parse(&["--faults", faults.to_str().unwrap()]).unwrap().config().unwrap_err();
        assert!(error.to_string().contains("faults.json"), "{error}");
    }
}
