//! How does the relay look to a person at three in the morning?
//!
//! One page in English or Chinese: what is wrong comes first, with what to do about it. The server writes it whole, so that it
//! works without a script; with one, `GET /events` keeps it up to date. Nothing comes from elsewhere, and the words are
//! all made here: the script moves texts into their places and lets the durations run down.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{AppState, problem::Problem, query};
use crate::language::Language;

mod account;
mod html;
mod lines;
mod live;
mod notice;
mod severity;
mod sheet;
mod words;

pub(super) use live::{Listeners, events};

/// Only the two files beside the page may be loaded, only the relay asked; no inline script or style, no markup made by a
/// script, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The language and the search of one request.
#[derive(Debug, Clone)]
struct View {
    language: Language,
    /// Only accounts whose name holds this.
    wanted: String,
}

impl View {
    /// By the parameters `lang` and `q`; without the first by what the browser prefers.
    fn of(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let preferred = || Language::preferred(accepted.unwrap_or_default());
        let language = query::language(query)?.unwrap_or_else(preferred);
        Ok(Self { language, wanted: query::wanted(query)?.trim().to_lowercase() })
    }
}

/// `GET /`
pub(super) async fn page(
    State(state): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = View::of(query.as_deref(), &headers)?;
    let page = html::page(&state, &view).into_string();
    let mut response = file("text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    Ok(response)
}

/// `GET /page.js`
pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("page/page.js"))
}

/// `GET /page.css`
pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("page/page.css"))
}

fn file(content_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}
