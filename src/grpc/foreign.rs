//! Statuses that tonic makes before a call reaches a service: said again in our words, with a reason to act on.

use tonic::{Code, Status, codegen::http::Response};

use super::status::status;
use crate::error::{Error, Reason};

/// An answer as it is, or, where tonic refused the call by itself, the same refusal with `ErrorInfo`.
pub fn in_our_words<B: Default>(response: Response<B>) -> Response<B> {
    match Status::from_header_map(response.headers()) {
        Some(refused) if refused.details().is_empty() => match error_of(&refused) {
            Some(error) => status(&error).into_http(),
            None => response,
        },
        _ => response,
    }
}

/// What a message was that could not be read; `None` = the client or its connection is gone.
pub(super) fn unreadable(broken: &Status, reason: Reason) -> Option<Error> {
    match error_of(broken)? {
        error if error.reason() == Reason::RequestInvalid => {
            Some(Error::fault(reason, "frame", broken.message().to_owned()))
        }
        error => Some(error),
    }
}

fn error_of(status: &Status) -> Option<Error> {
    let text = status.message();
    match status.code() {
        // The decoder's limit, which is some times `limits.max_request_bytes`, before and after inflating.
        Code::OutOfRange | Code::ResourceExhausted => Some(Error::new(
            Reason::RequestTooLarge,
            format!("the request is far over limits.max_request_bytes: {text}"),
        )),
        Code::Internal => Some(Error::new(
            Reason::RequestInvalid,
            format!("the request cannot be read: {text}"),
        )),
        Code::Unimplemented if text.is_empty() => Some(Error::not_built("the method called")),
        Code::Unimplemented => Some(Error::new(Reason::NotBuilt, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: Status) -> Status {
        let response = in_our_words(status.into_http::<()>());
        Status::from_header_map(response.headers()).expect("a status")
    }

    #[test]
    fn what_tonic_refuses_gets_a_reason_and_what_services_say_stays() {
        for (from, code) in [
            (Status::out_of_range("too large"), Code::InvalidArgument),
            (Status::resource_exhausted("too large"), Code::InvalidArgument),
            (Status::internal("no message"), Code::InvalidArgument),
            (Status::unimplemented(""), Code::Unimplemented),
        ] {
            let answer = answered(from);
            assert_eq!(answer.code(), code);
            assert!(!answer.details().is_empty() && !answer.message().is_empty());
        }
        for own in [
            Status::not_found("no such service"),
            status(&Error::new(Reason::Internal, "broken")),
        ] {
            let (code, text) = (own.code(), own.message().to_owned());
            let answer = answered(own);
            assert_eq!((answer.code(), answer.message()), (code, text.as_str()));
        }
    }

    #[test]
    fn a_client_that_is_gone_is_no_bad_frame() {
        let reason = Reason::FrameUnexpected;
        assert!(unreadable(&Status::cancelled(""), reason).is_none());
        assert!(unreadable(&Status::unknown("connection reset"), reason).is_none());
        let error = unreadable(&Status::internal("garbage"), reason).expect("a bad frame");
        assert_eq!((error.reason(), error.text()), (reason, "frame: garbage"));
    }
}
