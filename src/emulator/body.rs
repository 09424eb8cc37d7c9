//! Bodies on their way: counted, held to the bandwidth, and cut or stalled by faults.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::knobs::{Knobs, Throttle};
use super::probes::Call;
use super::server::Cut;

/// Time given to the bytes before a cut to leave the house: the cut throws away what has not.
const FLUSH: Duration = Duration::from_millis(50);

/// What befalls a body after so many bytes.
pub(super) enum Fate {
    /// Nothing.
    Pass,
    /// It stops coming, for a time or for ever.
    Stall(u64, Option<Duration>),
    /// Its connection is cut.
    Cut(u64, Arc<Cut>),
    /// A probe is told.
    Tell(u64, Call),
}

/// Reads a body to its end, for nothing.
pub(super) async fn drain(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Which way a body goes.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Up,
    Down,
}

/// A body with its meter and its fate.
pub(super) struct Metered {
    inner: Body,
    knobs: Arc<Knobs>,
    way: Way,
    count: Arc<AtomicU64>,
    fate: Fate,
    passed: u64,
    /// What the wait ends with.
    then: Then,
    wait: Option<Pin<Box<Sleep>>>,
    held: Option<Frame<Bytes>>,
    rest: Option<Bytes>,
}

enum Then {
    Go,
    CutIt,
}

impl Metered {
    pub(super) fn new(inner: Body, knobs: Arc<Knobs>, way: Way, count: Arc<AtomicU64>, fate: Fate) -> Self {
        Metered {
            inner,
            knobs,
            way,
            count,
            fate,
            passed: 0,
            then: Then::Go,
            wait: None,
            held: None,
            rest: None,
        }
    }

    fn line(&self) -> &Throttle {
        match self.way {
            Way::Up => &self.knobs.up,
            Way::Down => &self.knobs.down,
        }
    }

    /// The body reached its fate: `Pending` unless the fate is none.
    fn meet_fate(&mut self) -> Option<Poll<()>> {
        match std::mem::replace(&mut self.fate, Fate::Pass) {
            Fate::Pass => None,
            Fate::Stall(at, duration) if self.passed >= at => match duration {
                Some(duration) => {
                    self.wait = Some(Box::pin(tokio::time::sleep(duration)));
                    Some(Poll::Ready(()))
                }
                None => {
                    self.fate = Fate::Stall(at, None);
                    Some(Poll::Pending)
                }
            },
            Fate::Cut(at, cut) if self.passed >= at => {
                self.wait = Some(Box::pin(tokio::time::sleep(FLUSH)));
                self.then = Then::CutIt;
                self.fate = Fate::Cut(at, cut);
                Some(Poll::Ready(()))
            }
            Fate::Tell(at, call) if self.passed >= at => {
                call();
                None
            }
            fate => {
                self.fate = fate;
                None
            }
        }
    }

    /// How much may still pass before the fate.
    fn room(&self) -> usize {
        match &self.fate {
            Fate::Pass => usize::MAX,
            Fate::Stall(at, _) | Fate::Cut(at, _) | Fate::Tell(at, _) => {
                usize::try_from(at.saturating_sub(self.passed)).unwrap_or(usize::MAX)
            }
        }
    }

    fn pass(&mut self, mut data: Bytes) -> Option<Frame<Bytes>> {
        let room = self.room().min(self.line().piece());
        if data.len() > room {
            self.rest = Some(data.split_off(room));
        }
        let bytes = data.len();
        let frame = Frame::data(data);
        self.passed += bytes as u64;
        self.count.fetch_add(bytes as u64, Ordering::AcqRel);
        match self.line().take(bytes, Instant::now()) {
            Some(end) => {
                self.wait = Some(Box::pin(tokio::time::sleep_until(end.into())));
                self.held = Some(frame);
                None
            }
            None => Some(frame),
        }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(wait) = &mut this.wait {
                ready!(wait.as_mut().poll(cx));
                this.wait = None;
                if let (Then::CutIt, Fate::Cut(_, cut)) = (&this.then, &this.fate) {
                    cut.fire();
                    return Poll::Pending;
                }
            }
            if let Some(frame) = this.held.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            match this.meet_fate() {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(())) => continue,
                None => {}
            }
            let frame = match this.rest.take() {
                Some(data) => Ok(Frame::data(data)),
                None => match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                    Some(frame) => frame,
                    None => return Poll::Ready(None),
                },
            };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => match this.pass(data) {
                    Some(frame) => return Poll::Ready(Some(Ok(frame))),
                    None => continue,
                },
                Ok(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none()
            && self.rest.is_none()
            && matches!(self.fate, Fate::Pass)
            && self.inner.is_end_stream()
    }

    // Only asked before the first frame, when nothing is held back yet.
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Settings;

    async fn pieces(bandwidth: Option<u64>) -> Vec<usize> {
        let knobs = Arc::new(Knobs::new(Settings { bandwidth, ..Settings::default() }));
        let body = Body::from(vec![7; 10_000]);
        let mut body = Metered::new(body, knobs, Way::Down, Arc::default(), Fate::Pass);
        let mut pieces = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            pieces.push(frame.into_data().unwrap().len());
        }
        pieces
    }

    #[tokio::test]
    async fn a_limited_line_passes_a_body_in_small_pieces() {
        assert_eq!(pieces(None).await, [10_000]);
        assert_eq!(pieces(Some(4_000_000)).await, [4000, 4000, 2000]);
    }
}
