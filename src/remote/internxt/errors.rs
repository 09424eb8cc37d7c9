//! From the wire's failures to what they mean here.

use crate::api;
use crate::remote::session::Failure;
use crate::remote::{Error, Refusal};

/// The failure of a call that changes nothing: nothing was done, whatever happened.
pub(super) fn of_read(failure: Failure) -> Error {
    translate(failure, |e| match e {
        api::Error::Malformed(why) => Error::Protocol(why),
        other => Error::Offline(other.to_string()),
    })
}

/// The failure of a call that changes something.
pub(super) fn of_change(failure: Failure) -> Error {
    translate(failure, |e| Error::Ambiguous(e.to_string()))
}

fn translate(failure: Failure, unclear: impl FnOnce(api::Error) -> Error) -> Error {
    let wire = match failure {
        Failure::Session(e) => return e,
        Failure::Wire(wire) => wire,
    };
    match (wire.class(), wire) {
        (_, api::Error::Busy { after }) => Error::Busy { after },
        (api::Class::Session, _) => Error::SessionLost,
        (api::Class::Ambiguous, e) => unclear(e),
        (_, api::Error::Status(answer)) => match answer.status {
            402 => Error::PlanAccess(answer.message),
            403 => Error::Refused(Refusal::Forbidden),
            404 => Error::NotFound,
            409 => Error::Exists,
            420 => Error::Refused(Refusal::Quota),
            _ => Error::Protocol(answer.to_string()),
        },
        (_, e) => Error::Offline(e.to_string()),
    }
}

/// Status and words of a refusal, for the calls that tell more apart.
pub(super) fn answer(failure: &Failure) -> (u16, &str, &str) {
    match failure {
        Failure::Wire(api::Error::Status(answer)) => (answer.status, &answer.message, &answer.code),
        _ => (0, "", ""),
    }
}
