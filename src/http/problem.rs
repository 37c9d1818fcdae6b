//! What is a client answered when it gets no token? (RFC 9457, `application/problem+json`)

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::Timestamp,
    metrics::ClientLimit,
    page_url::PageRefused,
    report::{ReportFailure, ReportLimit},
    status::{Failure, Status},
};

/// Every way in which a request is refused, in the order of the checks. The one mapping to statuses is
/// [`Problem::status`].
#[derive(Debug)]
pub(super) enum Problem {
    /// 404
    NoSuchRoute,
    /// 405; axum adds `Allow`.
    WrongMethod,
    /// 401
    Unauthorized(&'static str),
    /// 400
    BadQuery(&'static str),
    /// 400
    PageRefused(PageRefused),
    /// 403
    NotAdmin,
    /// 409
    CannotRevoke,
    /// 403, for every name that the client may not use, so that it does not learn which exist.
    ForeignAccount,
    /// 404
    NoSuchAccount,
    /// 404
    NoSuchTicket,
    /// 413
    BodyTooLarge,
    /// 400
    BadBody(&'static str),
    /// 400, and the connection is closed: what would follow is not the next request.
    BodyTooSlow,
    /// 429: the client is over its limit.
    Limited { retry_in: Duration, limit: ClientLimit },
    /// 429
    TooMany { retry_in: Duration, limit: ReportLimit },
    /// 503
    Unavailable { retry_in: Duration, reason: Cow<'static, str>, trouble: Option<Arc<Failure>> },
    /// 503
    ReportFailed { retry_in: Duration, failure: ReportFailure, trouble: Option<Arc<Failure>> },
    /// 500: a handler panicked. Nothing else answers it.
    Panicked,
}

/// The members of a problem on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, description = "RFC 9457")]
pub(super) struct Wire<'p> {
    /// Of the status.
    title: &'static str,
    /// As the answer has it.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for people.
    detail: &'p str,
    /// WeChat's code, where its refusal is the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errcode: Option<i64>,
    /// What the operator can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    hint: Option<Cow<'static, str>>,
}

impl Problem {
    /// Nothing can be served, as `status` says.
    pub(super) fn unavailable(status: &Status, now: Timestamp, reason: impl Into<Cow<'static, str>>) -> Self {
        let trouble = status.trouble.clone();
        let reason = reason.into();
        let reason = match (&trouble, &status.store_trouble) {
            (None, Some(why)) => format!("{reason}; the relay's record cannot be stored: {why}").into(),
            _ if status.has_spent_calls() => format!("{reason}; {}", limited(ReportLimit::Calls)).into(),
            _ => reason,
        };
        Self::Unavailable { retry_in: status.retry_in(now), reason, trouble }
    }

    /// Its client sends too many.
    pub(super) fn too_many_requests(retry_in: Duration) -> Self {
        Self::Limited { retry_in, limit: ClientLimit::Requests }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute | Self::NoSuchAccount | Self::NoSuchTicket => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::BadQuery(_) | Self::PageRefused(_) | Self::BadBody(_) | Self::BodyTooSlow => StatusCode::BAD_REQUEST,
            Self::ForeignAccount | Self::NotAdmin => StatusCode::FORBIDDEN,
            Self::CannotRevoke => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Limited { .. } | Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } | Self::ReportFailed { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn detail(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::NoSuchRoute => "there is nothing at this path",
            Self::WrongMethod => "this path does not take this method; Allow names those that it takes",
            Self::NotAdmin => "this key may not revoke tokens: its client needs admin = true",
            Self::CannotRevoke => CANNOT_REVOKE,
            Self::ForeignAccount => "this key may not use the account that was asked for",
            Self::NoSuchAccount => "there is no account of this name",
            Self::NoSuchTicket => "the relay keeps no such ticket of this account: add it to accounts.NAME.tickets",
            Self::BodyTooLarge => "the body is longer than 4096 bytes",
            Self::BodyTooSlow => "the body did not arrive within 10 seconds",
            Self::Panicked => "the relay has a defect; its log names the place",
            Self::Unauthorized(detail) | Self::BadQuery(detail) | Self::BadBody(detail) => detail,
            Self::PageRefused(refused) => return refused.to_string().into(),
            Self::Limited { limit, .. } => over(*limit),
            Self::TooMany { limit, .. } => limited(*limit),
            Self::Unavailable { reason, trouble, .. } => return with_trouble(reason, trouble.as_deref()),
            Self::ReportFailed { failure, trouble, .. } => return failed(failure, trouble.as_deref()),
        })
    }

    /// The header that the status calls for.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized(_) => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::BodyTooSlow => Some((header::CONNECTION, HeaderValue::from_static("close"))),
            Self::Limited { retry_in, .. }
            | Self::TooMany { retry_in, .. }
            | Self::Unavailable { retry_in, .. }
            | Self::ReportFailed { retry_in, .. } => Some(retry_after(*retry_in)),
            Self::NoSuchRoute
            | Self::WrongMethod
            | Self::BadQuery(_)
            | Self::PageRefused(_)
            | Self::NotAdmin
            | Self::CannotRevoke
            | Self::ForeignAccount
            | Self::NoSuchAccount
            | Self::NoSuchTicket
            | Self::BodyTooLarge
            | Self::BadBody(_)
            | Self::Panicked => None,
        }
    }

    fn trouble(&self) -> Option<&Failure> {
        match self {
            Self::Unavailable { trouble, .. } | Self::ReportFailed { trouble, .. } => trouble.as_deref(),
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let trouble = self.trouble();
        let wire = Wire {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: &self.detail(),
            errcode: trouble.and_then(|trouble| trouble.error.errcode()),
            hint: trouble.map(|trouble| trouble.errors.hint(&trouble.error)),
        };
        let mut response = problem_json(status, &wire);
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What is said of a revocation that is not carried out yet.
pub(super) const REVOCATION_NOT_STORED: &str = "the revocation is not stored yet: the relay carries it out as soon as it can store it, unless it is started again before";
const CANNOT_REVOKE: &str = "the issuer gives the same token until its end: reset the secret in its console";

/// Which limit a client is over.
fn over(limit: ClientLimit) -> &'static str {
    match limit {
        ClientLimit::Requests => "this client sends more requests than clients.NAME.max_requests_per_second allows",
        ClientLimit::Reports => "this client sends more reports than clients.NAME.max_reports_per_minute allows",
    }
}

/// Why a report is not heard now.
pub(super) fn limited(limit: ReportLimit) -> &'static str {
    match limit {
        ReportLimit::Cooldown => "the token was probed or rotated just now",
        ReportLimit::Calls => "the day's budget of calls is spent",
        ReportLimit::Probes => "the day's budget of probes is spent",
    }
}

/// Why a report brought nothing. A failed refresh is the last call that failed, so it is said once.
pub(super) fn failed<'f>(failure: &'f ReportFailure, trouble: Option<&Failure>) -> Cow<'f, str> {
    let reason = match failure {
        ReportFailure::RefreshFailed(error) => {
            let error = trouble.map_or_else(|| error.to_string(), |trouble| trouble.errors.describe(error));
            return Cow::Owned(format!("the refresh failed: {error}"));
        }
        ReportFailure::NoVerdict(cause) => &format!("the probe was inconclusive: {cause}"),
        ReportFailure::ShuttingDown => "the relay is shutting down",
        ReportFailure::TooSoon => {
            let issuer = trouble.map_or("the issuer", |trouble| trouble.errors.issuer.english);
            &format!("the token is dead, and {issuer}'s last answer forbids a call so soon")
        }
        ReportFailure::NotStored => "the relay cannot store its record",
        ReportFailure::RevocationNotStored => REVOCATION_NOT_STORED,
        ReportFailure::CannotRevoke => CANNOT_REVOKE,
        ReportFailure::StoreAway => "the store is away: the report cannot be passed on",
        ReportFailure::Worded(reason) => reason,
    };
    Cow::Owned(with_trouble(reason, trouble).into_owned())
}

/// `reason`, and why the last call failed, if it did.
fn with_trouble<'r>(reason: &'r str, trouble: Option<&Failure>) -> Cow<'r, str> {
    match trouble {
        None => Cow::Borrowed(reason),
        Some(Failure { error, errors, .. }) => {
            let (issuer, error) = (errors.issuer.english, errors.describe(error));
            Cow::Owned(format!("{reason}; the last call to {issuer} failed: {error}"))
        }
    }
}

/// An answer that says what is wrong, with the members of `wire`.
pub(super) fn problem_json(status: StatusCode, wire: &impl Serialize) -> Response {
    let body = serde_json::to_vec(wire).expect("texts and numbers are JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `Retry-After` in whole seconds, rounded up, at least one.
pub(super) fn retry_after(retry_in: Duration) -> (HeaderName, HeaderValue) {
    let seconds = retry_in.as_secs().saturating_add(u64::from(retry_in.subsec_nanos() > 0)).max(1);
    (header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_and_at_least_one_second() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            assert_eq!(retry_after(Duration::from_millis(millis)).1, seconds);
        }
    }
}
