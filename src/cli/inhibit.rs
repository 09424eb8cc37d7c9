//! While something is not sent, sleep and shutdown wait for the moment that the system allows (`InhibitDelayMaxSec=`, five
//! seconds as a rule): what was saved just before the lid was closed is sent then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::bus::{self, logind::Logind};
use crate::fs::Fs;

/// Between two looks at the queue.
const TICK: Duration = Duration::from_secs(1);
/// After the system was let go: by then it sleeps, or will not after all.
const GOING: Duration = Duration::from_secs(15);
/// A system without a login manager is asked again after this.
const AGAIN: Duration = Duration::from_secs(600);

/// Does so for as long as it is polled; never ends.
pub async fn keep(fs: Arc<Fs>) {
    let mut looks = fs.looks();
    loop {
        if unsent(&fs).await
            && let Err(e) = hold(&fs, &mut looks).await
        {
            tracing::debug!(error = %e, "sleep and shutdown are not delayed");
            tokio::time::sleep(AGAIN).await;
        }
        if looks.changed().await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Holds a delay until nothing is left to send, or the system goes down.
async fn hold(fs: &Arc<Fs>, looks: &mut watch::Receiver<u64>) -> Result<(), bus::Error> {
    let logind = Logind::find().await?;
    let delay = logind.delay("Changes are being sent to Internxt Drive").await?;
    let going = logind.going_down();
    tokio::pin!(going);
    loop {
        let looked = async {
            let there = looks.changed().await.is_ok();
            tokio::time::sleep(TICK).await;
            there
        };
        tokio::select! {
            heard = &mut going => {
                heard?;
                fs.flush_within(logind.longest().await).await;
                drop(delay);
                tokio::time::sleep(GOING).await;
                return Ok(());
            }
            there = looked => {
                if !there || !unsent(fs).await {
                    return Ok(());
                }
            }
        }
    }
}

async fn unsent(fs: &Arc<Fs>) -> bool {
    let looked = Arc::clone(fs);
    tokio::task::spawn_blocking(move || looked.would_send()).await.unwrap_or(false)
}
