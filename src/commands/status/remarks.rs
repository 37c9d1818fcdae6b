//! What should an operator know of the credentials, and what is to be done?

use super::seen::{Credential, Seen, SeenSettings};
use crate::status::advice::{
    ANOTHER_CALLER, ANOTHER_CALLER_ADVICE, CALLS_SPENT, CALLS_SPENT_ADVICE, NOT_STORED_ADVICE, REVOKING,
    REVOKING_ADVICE, SILENT, SILENT_ADVICE,
};

/// What is the matter, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) what: String,
    pub(super) advice: String,
}

fn remark(what: &str, advice: &str) -> Remark {
    Remark { what: what.to_owned(), advice: advice.to_owned() }
}

/// About settings that are not in use.
pub(super) fn of_relay(settings: &SeenSettings) -> Vec<Remark> {
    let refused = settings.trouble.as_ref().map(|trouble| {
        let what = format!("the changed settings cannot be used: {trouble}");
        remark(&what, "the relay goes on with the settings that it has; correct the file: it is read again by itself")
    });
    let fixed = settings.needs_restart.join(", ");
    let fixed = (!fixed.is_empty()).then(|| remark(&format!("changed settings wait for a restart: {fixed}"), ""));
    refused.into_iter().chain(fixed).collect()
}

/// About the credentials, those first that are not served. What calls for the same is said once: the texts of WeChat differ in each
/// reply.
pub(super) fn remarks(seen: &Seen) -> Vec<(Remark, Vec<&str>)> {
    let mut remarks: Vec<(Remark, Vec<&str>)> = Vec::new();
    let (served, missing): (Vec<_>, Vec<_>) = seen.accounts.iter().partition(|(_, it)| it.state.is_served());
    for (id, credential) in missing.into_iter().chain(served) {
        for new in of_credential(credential, seen.silent_keepers_s.contains_key(id)) {
            match remarks.iter_mut().find(|(known, _)| known.advice == new.advice) {
                Some((_, names)) => names.push(id),
                None => remarks.push((new, vec![id])),
            }
        }
    }
    remarks
}

fn of_credential(credential: &Credential, is_silent: bool) -> impl Iterator<Item = Remark> {
    [
        is_silent.then(|| remark(SILENT.english, SILENT_ADVICE.english)),
        credential.trouble.as_ref().map(|trouble| remark(&trouble.message, &trouble.hint)),
        credential.has_spent_calls().then(|| remark(CALLS_SPENT.english, CALLS_SPENT_ADVICE.english)),
        credential.store_trouble.as_ref().map(|trouble| remark(trouble, NOT_STORED_ADVICE.english)),
        credential.another_caller.then(|| remark(ANOTHER_CALLER.english, ANOTHER_CALLER_ADVICE.english)),
        (credential.rotations_to_revoke > Some(0)).then(|| remark(REVOKING.english, REVOKING_ADVICE.english)),
    ]
    .into_iter()
    .flatten()
}
