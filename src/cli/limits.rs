//! How much of the line, the service and the memory a mount may take.

use std::num::NonZeroU64;

use crate::api::Tuning;
use crate::fs::Config;
use crate::remote::{Bandwidth, Budget, Throttle};
use crate::units;

/// The flags of a mount about that.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Requests to the service under way at a time. What somebody waits for goes first.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    requests: u16,
    /// Transfers of content under way at a time; one is kept for what somebody waits for.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=128))]
    transfers: u16,
    /// Bytes a second sent at most, as in 2M, 500K or 10Mbit; `inxtfs bwlimit` changes it later.
    #[arg(long, value_name = "RATE", default_value = "off", value_parser = rate)]
    bwlimit_up: Rate,
    /// Bytes a second fetched at most.
    #[arg(long, value_name = "RATE", default_value = "off", value_parser = rate)]
    bwlimit_down: Rate,
    /// Memory for content on its way between the network and the disk.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    memory: u64,
}

impl Limits {
    /// What they come to; what is shared is made here, once.
    pub fn tuning(&self) -> Tuning {
        Tuning {
            in_flight: self.requests,
            transfers: self.transfers,
            throttle: Throttle::new(Bandwidth { up: self.bwlimit_up.0, down: self.bwlimit_down.0 }),
            memory: Budget::new(self.memory),
            ..Tuning::default()
        }
    }

    /// Files that are sent side by side: each has a request under way about half of its time.
    pub fn files(&self) -> usize {
        Config::default().uploads.max(2 * usize::from(self.requests))
    }
}

/// Bytes a second; none: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<NonZeroU64>);

/// Parses a rate: `off` and `0` are none.
pub fn rate(text: &str) -> Result<Rate, String> {
    if matches!(text.trim(), "off" | "0") {
        return Ok(Rate(None));
    }
    let bytes = units::bandwidth(text).map_err(|e| format!("{e}, or off"))?;
    if bytes < Bandwidth::LEAST {
        return Err(format!("the least is {}K a second; `off` is no limit", Bandwidth::LEAST / 1000));
    }
    Ok(Rate(NonZeroU64::new(bytes)))
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = units::size(text).map_err(|e| e.to_string())?;
    if (Budget::LEAST..=Budget::MOST).contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("from {}MiB to {}GiB", Budget::LEAST >> 20, Budget::MOST >> 30))
}

/// A bound for people.
pub fn words(bound: Option<NonZeroU64>) -> String {
    bound.map_or_else(|| "unlimited".to_owned(), |rate| format!("{}/s", super::term::bytes(rate.get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bytes_a_second_or_none() {
        let bytes = |n| Ok(Rate(NonZeroU64::new(n)));
        assert_eq!(rate("2M"), bytes(2_000_000));
        assert_eq!(rate("500K"), bytes(500_000));
        assert_eq!(rate("10Mbit"), bytes(1_250_000));
        assert_eq!((rate("off"), rate("0")), (Ok(Rate(None)), Ok(Rate(None))));
        for bad in ["", "fast", "-1", "1K", "7999", "0M", "1e9999"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert!(rate("much").unwrap_err().contains("off"));
    }

    #[test]
    fn memory_has_bounds() {
        assert_eq!(memory("64MiB"), Ok(64 << 20));
        for bad in ["1M", "5GiB", "0", "much"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }
}
