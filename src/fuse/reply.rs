//! The one path from an answer to a reply.

use std::sync::Arc;
use std::time::Duration;

use fuser::{
    Errno, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, ReplyXattr,
};
use tokio::runtime::Handle;

use super::errno;
use crate::fs::{Answer, Error, Fs, Result};

/// A reply that can say no.
pub(super) trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => { $(impl Refuse for $reply {
        fn refuse(self, errno: Errno) {
            self.error(errno);
        }
    })* };
}
refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyWrite,
    ReplyXattr
);

/// Which request this is, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) name: &'static str,
    pub(super) ino: u64,
    pub(super) within: Duration,
}

impl Op {
    /// A request about the tree.
    pub(super) fn meta(name: &'static str, ino: fuser::INodeNo) -> Self {
        Op { name, ino: ino.0, within: Duration::from_secs(20) }
    }

    /// A request that may move content.
    pub(super) fn data(name: &'static str, ino: fuser::INodeNo) -> Self {
        Op { name, ino: ino.0, within: Duration::from_secs(60) }
    }
}

/// Serves one request: at once if local state can, else in a task that ends by the deadline.
pub(super) fn serve<T, R>(
    fs: &Arc<Fs>,
    rt: &Handle,
    op: Op,
    reply: R,
    call: impl FnOnce(&Arc<Fs>) -> Answer<T>,
    send: impl FnOnce(R, T) + Send + 'static,
) where
    T: Send + 'static,
    R: Refuse,
{
    let guard = AbortOnPanic(op.name);
    respond(rt, op, reply, call(fs), send);
    drop(guard);
}

fn respond<T, R>(rt: &Handle, op: Op, reply: R, answer: Answer<T>, send: impl FnOnce(R, T) + Send + 'static)
where
    T: Send + 'static,
    R: Refuse,
{
    match answer {
        Answer::Now(result) => deliver(op, reply, result, send),
        Answer::Later(future) => {
            // A task that is dropped with its runtime drops the reply, which then says EIO: no request
            // stays unanswered.
            rt.spawn(async move {
                let result = tokio::time::timeout(op.within, future).await.unwrap_or(Err(Error::TimedOut));
                deliver(op, reply, result, send);
            });
        }
    }
}

fn deliver<T, R: Refuse>(op: Op, reply: R, result: Result<T>, send: impl FnOnce(R, T)) {
    match result {
        Ok(value) => send(reply, value),
        Err(error) => {
            errno::log(&error, op.name, op.ino);
            reply.refuse(errno::errno(&error));
        }
    }
}

/// Sends an attribute's value, or its length to those who ask with no room for it.
pub(super) fn send_xattr(room: u32) -> impl FnOnce(ReplyXattr, Vec<u8>) + Send + 'static {
    move |reply, value| match u32::try_from(value.len()) {
        Ok(len) if room == 0 => reply.size(len),
        Ok(len) if len <= room => reply.data(&value),
        _ => reply.error(Errno::ERANGE),
    }
}

/// Changes what an answer says, whichever kind it is.
pub(super) fn then<T, U>(
    answer: Answer<T>,
    f: impl FnOnce(Result<T>) -> Result<U> + Send + 'static,
) -> Answer<U>
where
    T: Send + 'static,
    U: Send + 'static,
{
    match answer {
        Answer::Now(result) => Answer::Now(f(result)),
        Answer::Later(future) => Answer::later(async move { f(future.await) }),
    }
}

/// A request thread that unwinds leaves its callers hanging for good. The journal holds what was
/// acknowledged, so the process ends and the mount with it.
struct AbortOnPanic(&'static str);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(op = self.0, "internal error in a request; giving up to keep the data safe");
            std::process::abort();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Recorder(mpsc::Sender<std::result::Result<u32, i32>>);

    impl Refuse for Recorder {
        fn refuse(self, errno: Errno) {
            let _ = self.0.send(Err(errno.code()));
        }
    }

    fn reply_to(answer: Answer<u32>, within: Duration) -> std::result::Result<u32, i32> {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (tx, rx) = mpsc::channel();
        let op = Op { name: "test", ino: 1, within };
        respond(rt.handle(), op, Recorder(tx), answer, |r, v| {
            let _ = r.0.send(Ok(v));
        });
        rx.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn both_kinds_of_answer_reach_the_kernel() {
        let long = Duration::from_secs(60);
        assert_eq!(reply_to(Answer::Now(Ok(1)), long), Ok(1));
        assert_eq!(reply_to(Answer::Now(Err(Error::NotFound)), long), Err(libc::ENOENT));
        assert_eq!(reply_to(Answer::later(async { Ok(2) }), long), Ok(2));
        assert_eq!(reply_to(Answer::later(async { Err(Error::Busy) }), long), Err(libc::EBUSY));
    }

    #[test]
    fn an_answer_that_never_comes_ends_at_the_deadline() {
        let never = Answer::later(std::future::pending());
        assert_eq!(reply_to(never, Duration::from_millis(1)), Err(libc::ETIMEDOUT));
    }

    #[test]
    fn an_answer_can_be_changed_before_it_is_sent() {
        let absent = |r: Result<u32>| match r {
            Err(Error::NotFound) => Ok(0),
            other => other,
        };
        let long = Duration::from_secs(60);
        assert_eq!(reply_to(then(Answer::Now(Err(Error::NotFound)), absent), long), Ok(0));
        assert_eq!(reply_to(then(Answer::later(async { Err(Error::NotFound) }), absent), long), Ok(0));
        assert_eq!(reply_to(then(Answer::Now(Ok(4)), absent), long), Ok(4));
    }
}
