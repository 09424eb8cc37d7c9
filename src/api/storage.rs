//! The object store behind presigned links. Its client knows no credentials at all.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use reqwest::{Client, Response, redirect};
use tokio::time::{Instant, sleep, timeout};

use super::error::{cause, transport};
use super::http::{Pause, base_client, build, is_html, refusal, within};
use super::request::Effect;
use super::{Error, Gate, Gateway, Lane, Pass, Result, SignedUrl, Throttle, Tuning};

/// The way to the object store. Cheap to clone; clones share budget and pause.
#[derive(Clone, Debug)]
pub struct Storage {
    client: Client,
    loopback: bool,
    gate: Gate,
    pause: Arc<Pause>,
    tuning: Tuning,
}

impl Storage {
    /// Builds the client; no network.
    ///
    /// # Errors
    /// [`Error::NotSent`] if the system has no usable root certificates.
    pub fn new(gateway: &Gateway, tuning: Tuning) -> Result<Self> {
        // One connection a transfer: parallel transfers over one HTTP/2 connection would share its window.
        let client = build(gateway.is_loopback(), || {
            base_client(&tuning).redirect(redirect::Policy::none()).http1_only()
        })?;
        Ok(Storage {
            client,
            loopback: gateway.is_loopback(),
            gate: Gate::new(tuning.transfers.max(2).into()),
            pause: Arc::default(),
            tuning,
        })
    }

    fn open(&self, url: &SignedUrl) -> Result<reqwest::Url> {
        url.open(self.loopback).ok_or_else(|| Error::Malformed("a storage link that is not https".to_owned()))
    }

    async fn turn(&self, lane: Lane) -> Result<Pass> {
        self.pause.admit(&self.gate, lane, self.tuning.patience).await
    }

    async fn refused(&self, response: Response) -> Error {
        let error = refusal(response, self.tuning.stall, Effect::Repeatable).await;
        if let Error::Busy { after } = error {
            self.pause.extend(after);
        }
        error
    }

    /// Asks for `range` of an object of `size` bytes, once, when its lane's turn comes. The range must not be empty.
    ///
    /// # Errors
    /// The store's refusal, a lost connection, or an answer that is about something else.
    pub async fn get(&self, url: &SignedUrl, range: Range<u64>, size: u64, lane: Lane) -> Result<Download> {
        let url = self.open(url)?;
        let turn = self.turn(lane).await?;
        let last = range.end.saturating_sub(1);
        let send = self.client.get(url).header(RANGE, format!("bytes={}-{last}", range.start)).send();
        let response = within(self.tuning.answer, send).await?;
        let skip = match response.status().as_u16() {
            206 => {
                let (start, end) = content_range(&response).ok_or_else(|| {
                    Error::Malformed("a partial answer that does not say of what".to_owned())
                })?;
                if start != range.start || end >= range.end || end < start {
                    return Err(Error::Malformed("the store answered another range".to_owned()));
                }
                0
            }
            // The range was ignored: the whole object comes. A part of something else would be taken for content.
            200 if response.content_length() == Some(size) => range.start,
            200 => return Err(Error::Captive("what came is not the object".to_owned())),
            _ => return Err(self.refused(response).await),
        };
        Ok(Download {
            response,
            skip,
            left: range.end - range.start,
            stall: self.tuning.stall,
            throttle: self.tuning.throttle.clone(),
            paid: 0,
            lane,
            _turn: turn,
        })
    }

    /// Sends exactly `len` bytes, once, when its lane's turn comes, and returns the store's tag for them. `piece`: how many
    /// of them lie in memory at a time.
    ///
    /// # Errors
    /// The store's refusal, or a lost connection; a body that fails counts as the latter.
    pub async fn put<B>(
        &self,
        url: &SignedUrl,
        len: u64,
        body: B,
        piece: u64,
        lane: Lane,
    ) -> Result<Option<String>>
    where
        B: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let url = self.open(url)?;
        let _memory = self.tuning.memory.take_to_send(piece.min(len)).await;
        let _turn = self.turn(lane).await?;
        let progress = Progress::new();
        let body = paced(body, self.tuning.throttle.clone(), progress.clone());
        let send = self
            .client
            .put(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, len)
            .body(reqwest::Body::wrap_stream(body))
            .send();
        // While the body flows the limit is on standing still; afterwards the store may take its time.
        let limit = self.tuning.stall.max(self.tuning.answer);
        let response = tokio::select! {
            sent = send => sent.map_err(transport)?,
            () = progress.stalled(limit) => {
                return Err(Error::Lost(format!("the upload stood still for {} s", limit.as_secs())));
            }
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        if is_html(response.headers()) {
            return Err(Error::Captive("a web page".to_owned()));
        }
        Ok(response.headers().get(ETAG).and_then(|t| t.to_str().ok()).map(str::to_owned))
    }
}

fn content_range(response: &Response) -> Option<(u64, u64)> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, _) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?))
}

/// A body at the pace of the throttle. Waiting for that is not standing still.
fn paced<B>(
    body: B,
    throttle: Throttle,
    progress: Progress,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static
where
    B: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    let state = (Box::pin(body), Bytes::new(), throttle, progress);
    stream::try_unfold(state, |(mut body, mut piece, throttle, progress)| async move {
        progress.touch();
        while piece.is_empty() {
            match body.next().await {
                Some(next) => piece = next?,
                None => return Ok(None),
            }
        }
        let grain = throttle.up().grain().map_or(usize::MAX, |g| usize::try_from(g).unwrap_or(usize::MAX));
        let grain = grain.min(piece.len());
        progress.hold();
        throttle.up().take(grain as u64, Lane::Send).await;
        throttle.up().count(grain as u64);
        progress.touch();
        let grain = piece.split_to(grain);
        Ok(Some((grain, (body, piece, throttle, progress))))
    })
}

/// A body as it arrives. Holds one of the transfers until dropped: read it or drop it.
#[derive(Debug)]
pub struct Download {
    response: Response,
    skip: u64,
    left: u64,
    stall: Duration,
    throttle: Throttle,
    /// Bytes that the throttle has let pass and that have not arrived yet.
    paid: u64,
    lane: Lane,
    _turn: Pass,
}

impl Download {
    /// The next bytes of the range; `None` once all of them came.
    ///
    /// # Errors
    /// [`Error::Lost`] if the body ends early, breaks or stands still.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while self.left > 0 {
            self.pay().await;
            let mut chunk = match timeout(self.stall, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Err(Error::Lost("the body ended early".to_owned())),
                Ok(Err(e)) => return Err(Error::Lost(cause(e))),
                Err(_) => {
                    return Err(Error::Lost(format!("the body stood still for {} s", self.stall.as_secs())));
                }
            };
            self.account(chunk.len() as u64);
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= skipped as u64;
            drop(chunk.split_to(skipped));
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                self.left -= chunk.len() as u64;
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Waits until the throttle lets some bytes pass, before they are known.
    async fn pay(&mut self) {
        let Some(grain) = self.throttle.down().grain() else {
            self.paid = 0;
            return;
        };
        let price = grain.min(self.skip + self.left);
        if self.paid < price {
            self.throttle.down().take(price - self.paid, self.lane).await;
            self.paid = price;
        }
    }

    /// So many have arrived.
    fn account(&mut self, bytes: u64) {
        self.throttle.down().count(bytes);
        self.throttle.down().charge(bytes.saturating_sub(self.paid));
        self.paid = self.paid.saturating_sub(bytes);
    }
}

/// When something of a body was last taken.
#[derive(Clone)]
struct Progress {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl Progress {
    fn new() -> Self {
        Progress { start: Instant::now(), last: Arc::default() }
    }

    fn touch(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    /// Until the next touch nothing is expected.
    fn hold(&self) {
        self.last.store(u64::MAX, Ordering::Relaxed);
    }

    /// Ends once nothing was taken for `limit`.
    async fn stalled(&self, limit: Duration) {
        loop {
            let idle =
                self.start.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)));
            if idle >= limit {
                return;
            }
            sleep(limit - idle).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use futures_util::FutureExt;

    use super::super::Bandwidth;
    use super::*;

    fn throttle(up: u64) -> Throttle {
        Throttle::new(Bandwidth { up: NonZeroU64::new(up), down: None })
    }

    #[tokio::test]
    async fn an_upload_keeps_its_pace_to_the_byte() {
        let pieces = (0..3_u8).map(|n| Ok(Bytes::from(vec![n; 100_000])));
        let sent: Vec<u8> = pieces.clone().flat_map(|p: std::io::Result<Bytes>| p.unwrap()).collect();
        let start = Instant::now();
        let mut body = Box::pin(paced(stream::iter(pieces), throttle(1_000_000), Progress::new()));
        let mut all = Vec::new();
        while let Some(grain) = body.next().await {
            let grain = grain.unwrap();
            assert!(grain.len() <= 1_000_000 / 16);
            all.extend_from_slice(&grain);
        }
        assert!(all == sent);
        assert!(start.elapsed() > Duration::from_millis(200), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn waiting_for_the_pace_is_not_standing_still_and_a_silent_body_is() {
        let (limit, progress) = (Duration::from_millis(5), Progress::new());
        let begun = stream::iter([Ok(Bytes::from_static(b"begun"))]).chain(stream::pending());
        let slow = throttle(8_000);
        // An hour's worth.
        slow.up().charge(8_000 * 3600);
        let mut body = Box::pin(paced(begun, slow.clone(), progress.clone()));
        assert!(body.next().now_or_never().is_none());
        assert!(timeout(limit * 20, progress.stalled(limit)).await.is_err());
        slow.set(Bandwidth::default());
        assert_eq!(body.next().await.unwrap().unwrap(), "begun");
        assert!(body.next().now_or_never().is_none());
        progress.stalled(limit).await;
    }

    #[tokio::test]
    async fn without_a_bound_pieces_stay_whole() {
        let piece = Bytes::from(vec![7; 3 << 20]);
        let body = paced(stream::iter([Ok(piece.clone())]), Throttle::default(), Progress::new());
        assert_eq!(Box::pin(body).next().now_or_never().unwrap().unwrap().unwrap(), piece);
    }
}
