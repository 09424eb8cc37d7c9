//! The one map from errors to errnos.

use fuser::Errno;

use crate::fs::Error;

/// What the calling program is told.
///
/// Where POSIX leaves a choice, the one whose message helps a person in a file manager:
/// `ENETUNREACH` reads "Network is unreachable" everywhere, `EACCES` is what programs show for a
/// session that has ended, and `ENOSPC` is understood by programs that have never heard of `EDQUOT`.
pub(super) fn errno(error: &Error) -> Errno {
    match error {
        Error::NotFound => Errno::ENOENT,
        Error::Stale => Errno::ESTALE,
        Error::Exists => Errno::EEXIST,
        Error::NotDir => Errno::ENOTDIR,
        Error::IsDir => Errno::EISDIR,
        Error::NotEmpty => Errno::ENOTEMPTY,
        Error::NameTooLong => Errno::ENAMETOOLONG,
        Error::Invalid(_) => Errno::EINVAL,
        Error::NotPermitted => Errno::EPERM,
        Error::NotSupported => Errno::EOPNOTSUPP,
        Error::NoAttribute => Errno::ENODATA,
        Error::ReadOnly => Errno::EROFS,
        Error::BadHandle => Errno::EBADF,
        Error::NoSpace(_) => Errno::ENOSPC,
        Error::TooLarge => Errno::EFBIG,
        Error::Busy => Errno::EBUSY,
        Error::Offline => Errno::ENETUNREACH,
        Error::TimedOut => Errno::ETIMEDOUT,
        Error::LoggedOut | Error::Denied => Errno::EACCES,
        Error::Io(_) | Error::Lost(_) | Error::Damaged { .. } => Errno::EIO,
    }
}

/// Writes a failed request down: what programs meet all day quietly, damage loudly.
pub(super) fn log(error: &Error, op: &'static str, ino: u64) {
    match error {
        Error::Io(_) | Error::Lost(_) | Error::Damaged { .. } => {
            tracing::warn!(op, ino, error = %chain(error), "request failed")
        }
        Error::Offline | Error::TimedOut | Error::LoggedOut | Error::Denied | Error::NoSpace(_) => {
            tracing::info!(op, ino, error = %chain(error), "request failed");
        }
        _ => tracing::debug!(op, ino, error = %error, "request refused"),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_errno_programs_expect() {
        let table = [
            (Error::NotFound, libc::ENOENT),
            (Error::Stale, libc::ESTALE),
            (Error::Exists, libc::EEXIST),
            (Error::NotDir, libc::ENOTDIR),
            (Error::IsDir, libc::EISDIR),
            (Error::NotEmpty, libc::ENOTEMPTY),
            (Error::NameTooLong, libc::ENAMETOOLONG),
            (Error::Invalid("x"), libc::EINVAL),
            (Error::NotPermitted, libc::EPERM),
            (Error::NotSupported, libc::EOPNOTSUPP),
            (Error::NoAttribute, libc::ENODATA),
            (Error::ReadOnly, libc::EROFS),
            (Error::BadHandle, libc::EBADF),
            (Error::NoSpace("x"), libc::ENOSPC),
            (Error::TooLarge, libc::EFBIG),
            (Error::Busy, libc::EBUSY),
            (Error::Offline, libc::ENETUNREACH),
            (Error::TimedOut, libc::ETIMEDOUT),
            (Error::LoggedOut, libc::EACCES),
            (Error::Denied, libc::EACCES),
            (Error::Io("x".to_owned()), libc::EIO),
            (Error::Lost("x".to_owned()), libc::EIO),
        ];
        for (error, code) in table {
            assert_eq!(errno(&error).code(), code, "{error:?}");
        }
    }

    #[test]
    fn no_error_is_enosys() {
        // The kernel takes ENOSYS for flush and fsync as success for ever.
        assert_ne!(errno(&Error::Io(String::new())).code(), libc::ENOSYS);
        assert_ne!(errno(&Error::NotPermitted).code(), libc::ENOSYS);
    }
}
