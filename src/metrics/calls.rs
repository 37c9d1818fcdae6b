//! How long do calls take that ask a platform for a token or a ticket?
//!
//! One histogram for each platform, kind and result, and none for an account: thousands of accounts would have thousands.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{
    Labels,
    label::Label,
    labels::{CallKind, CallResult},
    text_of,
};
use crate::{credential::CredentialKind, issuer::Platform};

/// Around the time of a call that is well, and up to `wechat.timeout`, 8 s by default.
const SECONDS: [f64; 6] = [0.1, 0.25, 0.5, 1.0, 3.0, 8.0];

impl Label for Platform {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.label()
    }
}

/// How long calls took.
#[derive(Debug)]
pub(super) struct CallDurations(Vec<Vec<CallTimer>>);

/// The histograms of one kind of call, by their results. Cloning bumps a reference count.
#[derive(Debug, Clone)]
pub struct CallTimer(Arc<[Histogram]>);

impl CallDurations {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let family = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new(SECONDS));
        let help = "Time from the start of a call for a token or ticket to its end";
        registry.register("call_duration_seconds", help, family.clone());
        let timer = |platform: &Platform, call: &CallKind| {
            let labels = |result: &CallResult| {
                vec![("platform", text_of(*platform)), ("call", text_of(*call)), ("result", text_of(*result))]
            };
            CallTimer(CallResult::ALL.iter().map(|result| family.get_or_create_owned(&labels(result))).collect())
        };
        let of_platform = |platform| CallKind::ALL.iter().map(|call| timer(platform, call)).collect();
        Self(Platform::ALL.iter().map(of_platform).collect())
    }

    /// What times the calls for credentials of this kind.
    pub(super) fn timer(&self, platform: Platform, kind: CredentialKind) -> CallTimer {
        let call = match kind {
            CredentialKind::AccessToken => CallKind::Token,
            CredentialKind::Ticket(_) => CallKind::Ticket,
        };
        self.0[platform as usize][call as usize].clone()
    }
}

impl CallTimer {
    /// Records a call's result and duration.
    pub fn ended(&self, result: CallResult, after: Duration) {
        self.0[result as usize].observe(after.as_secs_f64());
    }
}
