//! What was asked, and how it ended: for tests that count requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::faults::glob;

/// Requests kept; older ones are forgotten, the counters are not.
const KEPT: usize = 65_536;
/// Different routes counted; a client that walks made-up paths cannot fill the memory.
const ROUTES: usize = 4096;

/// A moment in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// Before everything.
    pub const START: Mark = Mark(0);
}

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// What was answered; `None` while nothing was, and for ever when the connection was cut first.
    pub status: Option<u16>,
    /// Bytes of its body read so far.
    pub request_bytes: u64,
    /// Bytes of the answer's body sent so far.
    pub response_bytes: u64,
    /// When it came in.
    pub started: SystemTime,
    /// When what it asked for had been done or refused; `None` for requests that met trouble before.
    pub handled: Option<SystemTime>,
    /// `internxt-client-id`, or else `internxt-client`.
    pub client: Option<String>,
}

/// A request whose figures still move.
pub(super) struct Live {
    method: String,
    path: String,
    started: SystemTime,
    pub(super) handled: OnceLock<SystemTime>,
    client: Option<String>,
    pub(super) status: AtomicU16,
    pub(super) request_bytes: Arc<AtomicU64>,
    pub(super) response_bytes: Arc<AtomicU64>,
}

impl Live {
    fn snapshot(&self) -> Entry {
        let status = self.status.load(Ordering::Acquire);
        Entry {
            method: self.method.clone(),
            path: self.path.clone(),
            status: (status != 0).then_some(status),
            request_bytes: self.request_bytes.load(Ordering::Acquire),
            response_bytes: self.response_bytes.load(Ordering::Acquire),
            started: self.started,
            handled: self.handled.get().copied(),
            client: self.client.clone(),
        }
    }
}

/// The last requests, and counters for all of them.
#[derive(Default)]
pub struct RequestLog(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    first: u64,
    live: VecDeque<Arc<Live>>,
    routes: BTreeMap<(String, String), u64>,
    /// Requests to the gateway being answered, and the most there were at a time.
    crowd: (usize, usize),
}

/// A request to the gateway while it is being answered.
pub(super) struct Crowded(Arc<RequestLog>);

impl Drop for Crowded {
    fn drop(&mut self) {
        self.0.0.lock().crowd.0 -= 1;
    }
}

impl RequestLog {
    /// Now: what comes later is [`RequestLog::since`] this.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let inner = self.0.lock();
        Mark(inner.first + inner.live.len() as u64)
    }

    /// The requests that came in after `mark`, in order.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        let inner = self.0.lock();
        let skip = usize::try_from(mark.0.saturating_sub(inner.first)).unwrap_or(usize::MAX);
        inner.live.iter().skip(skip).map(|live| live.snapshot()).collect()
    }

    /// How many requests of this method and path (a [glob](super::Fault::path)) came in after `mark`.
    #[must_use]
    pub fn count_since(&self, mark: Mark, method: &str, path: &str) -> usize {
        let of_route = |e: &Entry| e.method == method && glob(path, e.path.split('?').next().unwrap_or(""));
        self.since(mark).iter().filter(|entry| of_route(entry)).count()
    }

    /// Requests a route since the start, such as `("GET", "/drive/files/*/meta")`: ids are starred.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<(String, String), u64> {
        self.0.lock().routes.clone()
    }

    /// The most requests that were at the gateway (not the object store) at a time, since the last call of this.
    #[must_use]
    pub fn take_crowd(&self) -> usize {
        let mut inner = self.0.lock();
        let most = inner.crowd.1;
        inner.crowd.1 = inner.crowd.0;
        most
    }

    pub(super) fn enter(self: &Arc<Self>) -> Crowded {
        let mut inner = self.0.lock();
        inner.crowd.0 += 1;
        inner.crowd.1 = inner.crowd.1.max(inner.crowd.0);
        drop(inner);
        Crowded(self.clone())
    }

    pub(super) fn begin(&self, method: &str, path_and_query: &str, client: Option<String>) -> Arc<Live> {
        let live = Arc::new(Live {
            method: method.to_owned(),
            path: path_and_query.to_owned(),
            started: SystemTime::now(),
            handled: OnceLock::new(),
            client,
            status: AtomicU16::new(0),
            request_bytes: Arc::default(),
            response_bytes: Arc::default(),
        });
        let route = (method.to_owned(), route_of(path_and_query));
        let mut inner = self.0.lock();
        if inner.routes.len() < ROUTES || inner.routes.contains_key(&route) {
            *inner.routes.entry(route).or_default() += 1;
        }
        if inner.live.len() == KEPT {
            inner.live.pop_front();
            inner.first += 1;
        }
        inner.live.push_back(live.clone());
        live
    }
}

/// The path without its query, ids replaced by stars.
fn route_of(path: &str) -> String {
    let is_id = |s: &str| s.len() >= 24 && s.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let plain = path.split('?').next().unwrap_or("");
    let star = |segment| if is_id(segment) { "*" } else { segment };
    plain.split('/').map(star).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_divides_before_from_after_even_when_old_entries_are_gone() {
        let log = RequestLog::default();
        for n in 0..KEPT + 10 {
            log.begin("GET", &format!("/{n}"), None);
        }
        let mark = log.mark();
        log.begin("PUT", "/shards/x?secret=1", Some("me".into()));
        let since = log.since(mark);
        assert_eq!(since.len(), 1);
        assert_eq!((since[0].path.as_str(), since[0].status), ("/shards/x?secret=1", None));
        assert_eq!(log.count_since(mark, "PUT", "/shards/*"), 1);
        assert_eq!(log.since(Mark::START).len(), KEPT);
    }

    #[test]
    fn routes_are_counted_without_their_ids() {
        let log = RequestLog::default();
        for id in ["1cbb715a-a572-4665-9eac-d24ed2b9b0c6", "6b023f4716b232cd334cadf7"] {
            log.begin("GET", &format!("/drive/files/{id}/meta?x=1"), None);
        }
        assert_eq!(log.counters()[&("GET".into(), "/drive/files/*/meta".into())], 2);
    }
}
