//! May a token that a request bears, and that nobody here knows, have been handed out all the same?
//!
//! Just after a start it may stand in a record that is still being read, and another relay of the group may have fetched it a moment
//! ago. SDKs take the 40001 of an unknown token for their own token's end, and fetch at once: it is said only when it is true.

use std::time::Duration;

use axum::http::request::Parts;
use tokio::time::{sleep, timeout};

use super::AppState;
use crate::{group::poller::POLL, registry::Unheard};

/// What the others have fetched is heard of with the next poll, and the read after it.
const WITHIN: Duration = POLL.saturating_add(Duration::from_millis(500));
/// When it is decided anew first: after a start, the record is there within some milliseconds. The pause doubles each time, up to
/// `SELDOM`: anybody may ask without a key, and each decision reads the whole query and looks at every account.
const SOON: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(320);

/// In the extensions of a request: it was waited for what its token is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard;

/// What `decide` decides of a request with this head, anew for as long as the token that it finds `unknown` may yet be heard of,
/// unless that was waited for already. Where it may be even then, the refusal is `untold`.
pub(super) async fn heard_of<T, R: Copy + PartialEq>(
    state: &AppState,
    head: &Parts,
    decide: impl Fn() -> Result<T, R>,
    unknown: R,
    untold: R,
) -> Result<T, R> {
    let is_unknown = |decision: &Result<T, R>| matches!(decision, Err(refusal) if *refusal == unknown);
    let first = decide();
    if !is_unknown(&first) {
        return first;
    }
    let unheard_of = || state.registry.handles().unheard_of();
    let within = match unheard_of() {
        Unheard::Nothing => return first,
        Unheard::OfTheGroup => WITHIN,
        Unheard::Anything => state.timeouts().first_token,
    };
    let decided = async {
        let mut pause = SOON;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
            let decision = decide();
            if !is_unknown(&decision) || unheard_of() == Unheard::Nothing {
                return decision;
            }
        }
    };
    let last = match head.extensions.get::<Heard>() {
        Some(Heard) => first,
        None => timeout(within, decided).await.unwrap_or_else(|_elapsed| decide()),
    };
    if is_unknown(&last) && unheard_of() == Unheard::Anything { Err(untold) } else { last }
}
