//! Is it the same credential after a wait, in which the settings may have been changed?

use std::{borrow::Borrow, sync::Arc};

use crate::registry::Handle;

/// Waits for an answer from the credential that was `found`, and looks with `find` whether it is still that one; if it is another
/// one, it starts over with that. A key that was taken out opens nothing any more, and an account may be gone, or stand for
/// another app.
///
/// `find` loads the rules before the handles. A reload changes the handles first, then the rules, and starts the keepers last:
/// so what is found in between has no token yet, is waited for, and is found again by the new rules.
pub(super) async fn across_reloads<F, T, E, W>(
    mut found: F,
    find: impl Fn() -> Result<F, E>,
    mut wait: impl FnMut(F) -> W,
) -> Result<T, E>
where
    F: Borrow<Arc<Handle>>,
    W: Future<Output = Result<T, E>>,
{
    loop {
        let waited_for = found.borrow().clone();
        let outcome = wait(found).await;
        found = find()?;
        if Arc::ptr_eq(found.borrow(), &waited_for) {
            return outcome;
        }
    }
}
