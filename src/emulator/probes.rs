//! A test's hand within a request: called once at a named moment, while the request waits for it.

use super::faults::glob;

/// When a probe is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request is here; nothing of it has been handled.
    Arrived,
    /// This much of its body is here.
    Halfway(u64),
    /// It has been handled; nothing of the answer has left.
    Handled,
}

/// What a probe calls. It must be short: it runs where requests are served.
pub(super) type Call = Box<dyn FnOnce() + Send>;

/// Waits for one request, and then is gone.
pub struct Probe {
    method: String,
    path: String,
    moment: Moment,
    skip: u64,
    call: Call,
}

impl Probe {
    /// Calls `call` in the first request of this method and path (a [glob](super::Fault::path)).
    #[must_use]
    pub fn on(method: &str, path: &str, moment: Moment, call: impl FnOnce() + Send + 'static) -> Self {
        Probe { method: method.to_owned(), path: path.to_owned(), moment, skip: 0, call: Box::new(call) }
    }

    /// Lets the first `skip` such requests pass.
    #[must_use]
    pub fn skip(self, skip: u64) -> Self {
        Probe { skip, ..self }
    }
}

/// The probes that wait.
#[derive(Default)]
pub(super) struct Probes(Vec<Probe>);

impl Probes {
    pub(super) fn add(&mut self, probe: Probe) {
        self.0.push(probe);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the first probe that has waited for this request.
    pub(super) fn meet(&mut self, method: &str, path: &str) -> Option<(Moment, Call)> {
        let mut met = None;
        for (at, probe) in self.0.iter_mut().enumerate() {
            if !probe.method.eq_ignore_ascii_case(method) || !glob(&probe.path, path) {
                continue;
            }
            match probe.skip.checked_sub(1) {
                Some(left) => probe.skip = left,
                None if met.is_none() => met = Some(at),
                None => {}
            }
        }
        met.map(|at| self.0.remove(at)).map(|probe| (probe.moment, probe.call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_meets_one_request_after_those_it_lets_pass() {
        let mut probes = Probes::default();
        probes.add(Probe::on("PUT", "/shards/*", Moment::Halfway(9), || {}).skip(1));
        assert!(probes.meet("PUT", "/shards/a").is_none());
        assert!(probes.meet("GET", "/shards/a").is_none());
        assert_eq!(probes.meet("PUT", "/shards/b").map(|(m, _)| m), Some(Moment::Halfway(9)));
        assert!(probes.meet("PUT", "/shards/c").is_none());
    }
}
