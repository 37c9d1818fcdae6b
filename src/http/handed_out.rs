//! May a token that a request bears, and that nobody here knows, have been handed out all the same?
//!
//! Just after a start it may stand in a record that is still being read, and another relay of the group may have fetched it a moment
//! ago. SDKs take the 40001 of an unknown token for their own token's end, and fetch at once: it is said only when it is true.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::AppState;
use crate::{group::poller::POLL, registry::Unheard};

/// What the others have fetched is heard of with the next poll, and the read after it.
const WITHIN: Duration = POLL.saturating_add(Duration::from_millis(500));
/// How often it is decided anew meanwhile. After a start, the record is there within some milliseconds.
const AGAIN: Duration = Duration::from_millis(20);

/// What `decide` decides, anew for as long as the token that it finds `unknown` may yet be heard of. Where it may be even then, the
/// refusal is `untold`.
pub(super) async fn heard_of<T, R: Copy + PartialEq>(
    state: &AppState,
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
        loop {
            sleep(AGAIN).await;
            let decision = decide();
            if !is_unknown(&decision) || unheard_of() == Unheard::Nothing {
                return decision;
            }
        }
    };
    let last = timeout(within, decided).await.unwrap_or_else(|_elapsed| decide());
    if is_unknown(&last) && unheard_of() == Unheard::Anything { Err(untold) } else { last }
}
