//! How often, and after what wait, a request is sent again.

use std::time::Duration;

use super::super::error::Class;
use super::{Error, Tuning};

/// What to do after a failure.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send again after this long.
    Wait(Duration),
    /// Hand the failure up.
    GiveUp,
}

/// The count of one request.
#[derive(Debug)]
pub struct Retry {
    left: u32,
    next: Duration,
    max: Duration,
    patience: Duration,
}

impl Retry {
    /// No failure yet.
    #[must_use]
    pub fn new(tuning: &Tuning) -> Self {
        Retry {
            left: tuning.tries.saturating_sub(1),
            next: tuning.backoff,
            max: tuning.backoff_max,
            patience: tuning.patience,
        }
    }

    /// Judges a failure. `repeatable`: the request may be sent again even if it may have been done.
    pub fn after(&mut self, error: &Error, repeatable: bool) -> Verdict {
        let again = match error.class() {
            Class::NotSent | Class::Busy => true,
            Class::Ambiguous => repeatable,
            Class::Session | Class::Permanent => false,
        };
        if !again || self.left == 0 {
            return Verdict::GiveUp;
        }
        self.left -= 1;
        if let Error::Busy { after } = error {
            // The shared pause does the waiting.
            return if *after > self.patience { Verdict::GiveUp } else { Verdict::Wait(Duration::ZERO) };
        }
        let wait = jitter(self.next);
        self.next = (self.next * 2).min(self.max);
        Verdict::Wait(wait)
    }
}

/// Half to all of `d`, so that many clients do not come back at once.
pub(in crate::api) fn jitter(d: Duration) -> Duration {
    let mut byte = [0xff];
    let _ = getrandom::fill(&mut byte);
    d / 2 + d / 2 * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::super::super::Answer;
    use super::*;

    fn status(status: u16) -> Error {
        Error::Status(Answer { status, message: String::new(), code: String::new(), request_id: None })
    }

    #[test]
    fn only_what_proves_nothing_was_done_is_repeated_for_changes() {
        let tuning = Tuning::default();
        let busy = Error::Busy { after: Duration::from_secs(1) };
        let long = Error::Busy { after: Duration::from_secs(1000) };
        // (failure, a change is repeated, a read is repeated)
        let table = [
            (Error::NotSent(String::new()), true, true),
            (Error::Captive(String::new()), true, true),
            (busy, true, true),
            (long, false, false),
            (Error::Lost(String::new()), false, true),
            (Error::Malformed(String::new()), false, true),
            (status(408), false, true),
            (status(500), false, true),
            (status(503), false, true),
            (status(400), false, false),
            (status(401), false, false),
            (status(404), false, false),
            (status(409), false, false),
            (status(420), false, false),
        ];
        for (error, change, read) in table {
            let again = |repeatable| Retry::new(&tuning).after(&error, repeatable) != Verdict::GiveUp;
            assert_eq!((again(false), again(true)), (change, read), "{error:?}");
        }
    }

    #[test]
    fn tries_are_counted_and_waits_grow_to_a_cap() {
        let tuning = Tuning { tries: 10, ..Tuning::default() };
        let mut retry = Retry::new(&tuning);
        let mut waits = Vec::new();
        while let Verdict::Wait(d) = retry.after(&Error::Lost(String::new()), true) {
            waits.push(d);
        }
        assert_eq!(waits.len(), 9);
        assert!(waits.iter().all(|w| *w <= tuning.backoff_max));
        assert!(waits[8] >= tuning.backoff_max / 2);
    }
}
