//! Streams that break off.

use futures_util::{StreamExt, future, stream};
use tokio::sync::watch;

use crate::remote::{ByteStream, Error};

/// Resolves once the switch is off-line; never if the injector is gone first.
pub(super) async fn switched_off(mut switch: watch::Receiver<bool>) {
    wait(&mut switch).await;
}

async fn wait(switch: &mut watch::Receiver<bool>) {
    if switch.wait_for(|off| *off).await.is_err() {
        future::pending::<()>().await;
    }
}

/// Ends with an error when the switch goes off-line, even amid a stall.
pub(super) fn while_online(stream: ByteStream, switch: watch::Receiver<bool>) -> ByteStream {
    stream::unfold(Some((stream, switch)), |state| async move {
        let (mut stream, mut switch) = state?;
        let item = tokio::select! {
            biased;
            () = wait(&mut switch) => Err(super::switched_off()),
            item = stream.next() => item?,
        };
        let rest = item.is_ok().then_some((stream, switch));
        Some((item, rest))
    })
    .boxed()
}

/// Gives `after` bytes, then an error.
pub(super) fn truncated(stream: ByteStream, after: u64) -> ByteStream {
    stream::unfold(Some((stream, after)), |state| async move {
        let (mut stream, left) = state?;
        let broken = || Err(Error::Offline("injected: the answer broke off".into()));
        let item = match stream.next().await {
            Some(Ok(bytes)) if left > 0 => {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(..n))
            }
            Some(Err(e)) => Err(e),
            _ => broken(),
        };
        let rest = item.as_ref().ok().map(|bytes| left - bytes.len() as u64);
        Some((item, rest.map(|left| (stream, left))))
    })
    .boxed()
}
