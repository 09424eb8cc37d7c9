//! Diagnostics, on standard error.

use std::io::IsTerminal;

use tracing::Level;
use tracing_log::LogTracer;
use tracing_log::log::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Starts it: `INXTFS_LOG` if set (`inxtfs::remote=debug,inxtfs::fs=trace`), else by `-v` and `-q`.
///
/// Libraries below warnings are never let through, whatever the filter says: at finer levels HTTP stacks
/// print headers, and those hold secrets.
pub fn start(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        _ => "trace",
    };
    let chosen = std::env::var("INXTFS_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = chosen.unwrap_or_else(|| EnvFilter::new(format!("warn,inxtfs={level}")));
    let guarded = filter.and(filter_fn(|meta| {
        meta.target().split("::").next() == Some("inxtfs") || *meta.level() <= Level::WARN
    }));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // The journal has its own clock, and a command's remarks need none.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let timed = !journal && (verbose > 0 || !std::io::stderr().is_terminal());
    let layer = if timed { layer.boxed() } else { layer.without_time().with_target(false).boxed() };
    let _ = tracing_subscriber::registry().with(layer.with_filter(guarded)).try_init();
    let _ = LogTracer::builder().with_max_level(LevelFilter::Warn).init();
}
