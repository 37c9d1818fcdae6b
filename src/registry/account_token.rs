//! How does the keeper of a ticket get the access token that its calls need? From the handle of that token, as readers do.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, time::timeout};

use super::{Handle, Published, Registry, Reported};
use crate::{
    account::AccountName,
    clock::{Clock, Timestamp},
    credential::{Generation, Token},
    issuer::AccessToken,
    report::Grounds,
};

/// How often the account is looked up again while it has no token: it may have no handle, whose coming nobody announces.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A token that WeChat refuses for tickets, and accepts when it is probed, is not reported again for so long: each report costs
/// one of the day's probes, and clients need theirs.
const BELIEVE_FOR: Duration = Duration::from_secs(30 * 60);

/// The access token of one account of this process, whoever keeps it.
pub struct AccountToken {
    account: AccountName,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    last_report: Mutex<Option<LastReport>>,
}

/// A report, and what came of it.
struct LastReport {
    generation: Generation,
    at: Timestamp,
    answer: oneshot::Receiver<Reported>,
    is_settled: bool,
}

impl LastReport {
    /// Whether the keeper has found this generation good, and lately.
    fn speaks_for(&mut self, generation: Generation, now: Timestamp) -> bool {
        if let Ok(reported) = self.answer.try_recv() {
            // of a generation that is still the current one: it was accepted
            self.is_settled = matches!(reported, Reported::Settled);
        }
        self.is_settled && self.generation == generation && now < self.at.plus(BELIEVE_FOR)
    }
}

impl fmt::Debug for AccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountToken").field("account", &self.account).finish_non_exhaustive()
    }
}

impl AccountToken {
    /// The access token of `account`.
    pub fn new(account: AccountName, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { account, registry, clock, last_report: Mutex::default() }
    }

    fn handle(&self) -> Option<Arc<Handle>> {
        self.registry.handles().access_token(self.account.as_str()).cloned()
    }

    fn living_of(&self, published: &Published) -> Option<(Generation, Token)> {
        let (offer, _) = published.status.servable(self.clock.boot_now())?;
        Some((offer.generation, offer.token.clone()))
    }

    async fn wait(&self) {
        loop {
            let Some(handle) = self.handle() else {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            let published = handle.published();
            if self.living_of(&published).is_some() {
                return;
            }
            // whether it changed is seen anew
            let _ = timeout(LOOK_AGAIN, handle.changed_since(&published)).await;
        }
    }
}

impl AccessToken for AccountToken {
    fn living(&self) -> Option<(Generation, Token)> {
        self.handle().and_then(|handle| self.living_of(&handle.published()))
    }

    fn until_living(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait())
    }

    fn refused(&self, generation: Generation) {
        let now = self.clock.boot_now();
        // nothing under this lock leaves it half changed
        let mut last = self.last_report.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_mut().is_some_and(|last| last.speaks_for(generation, now)) {
            return;
        }
        let answer = self.handle().and_then(|handle| handle.begin_report(generation, Grounds::Report));
        *last = answer.map(|answer| LastReport { generation, at: now, answer, is_settled: false });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        clock::FixedClock,
        credential::{CredentialId, Promise},
        heartbeat::Heartbeat,
        metrics::Metrics,
        registry::{KeeperEnd, Report},
        report::ReportFailure,
        status::{Offer, Status},
    };

    fn account(registry: &Registry) -> KeeperEnd {
        let id = CredentialId::access_token("main".parse().unwrap());
        let (handle, end) =
            Handle::new(id.clone(), Metrics::new().credential(&id), Heartbeat::starting(Duration::ZERO));
        registry.insert(&[handle]);
        end
    }

    fn offering(generation: u64, until: Timestamp) -> Status {
        let promise = Promise { until, sliding: None, verified_until: None };
        let token = Token::try_from(format!("token-{generation}")).unwrap();
        Status { offer: Some(Offer { generation: Generation(generation), token, promise }), ..Status::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_the_token_comes_and_not_before() {
        let (registry, clock) = (Arc::<Registry>::default(), Arc::new(FixedClock::default()));
        let token = AccountToken::new("main".parse().unwrap(), registry.clone(), clock.clone());
        let mut wait = token.until_living();
        assert!((&mut wait).now_or_never().is_none(), "there is no account yet");
        let end = account(&registry);
        assert!(timeout(LOOK_AGAIN * 3, &mut wait).await.is_err(), "the account has no token yet");
        end.publisher.publish(offering(7, clock.boot_now().plus(Duration::from_secs(60))));
        assert!(timeout(LOOK_AGAIN / 2, &mut wait).await.is_ok());
        let (generation, text) = token.living().unwrap();
        assert_eq!((generation, text.expose()), (Generation(7), "token-7"));
        clock.advance(Duration::from_secs(60));
        assert!(token.living().is_none() && token.until_living().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_refused_generation_is_reported_and_nobody_waits() {
        let registry = Arc::<Registry>::default();
        let token = AccountToken::new("main".parse().unwrap(), registry.clone(), Arc::new(FixedClock::default()));
        token.refused(Generation(7));
        let mut end = account(&registry);
        token.refused(Generation(7));
        assert_eq!(reported(&mut end).unwrap().generation, Generation(7));
    }

    fn reported(end: &mut KeeperEnd) -> Option<Report> {
        end.reports.recv().now_or_never()?.ok()
    }

    #[tokio::test]
    async fn a_token_that_a_report_has_found_good_is_not_reported_again_for_half_an_hour() {
        let (registry, clock) = (Arc::<Registry>::default(), Arc::new(FixedClock::default()));
        let token = AccountToken::new("main".parse().unwrap(), registry.clone(), clock.clone());
        let mut end = account(&registry);
        let failed = Reported::Failed { retry_in: Duration::ZERO, failure: ReportFailure::NotStored };
        for answer in [failed, Reported::Settled] {
            token.refused(Generation(7));
            reported(&mut end).expect("without a verdict it is reported again").answer.send(answer).unwrap();
        }
        token.refused(Generation(7));
        assert!(reported(&mut end).is_none());
        token.refused(Generation(8));
        assert_eq!(reported(&mut end).unwrap().generation, Generation(8), "another token");
        token.refused(Generation(7));
        reported(&mut end).unwrap().answer.send(Reported::Settled).unwrap();
        clock.advance(BELIEVE_FOR / 2);
        token.refused(Generation(7));
        assert!(reported(&mut end).is_none());
        clock.advance(BELIEVE_FOR / 2);
        token.refused(Generation(7));
        assert!(reported(&mut end).is_some());
    }
}
