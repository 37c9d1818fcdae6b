//! How does the keeper of a ticket get the access token that its calls need? From the handle of that token, as readers do.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{Handle, Registry};
use crate::{
    account::AccountName,
    clock::Clock,
    credential::{Generation, Token},
    issuer::AccessToken,
    report::Grounds,
};

/// How often the account is looked up again while it has no token: its handle may be replaced, which no handle announces.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The access token of one account of this process, whoever keeps it.
pub struct AccountToken {
    account: AccountName,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for AccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountToken").field("account", &self.account).finish_non_exhaustive()
    }
}

impl AccountToken {
    /// The access token of `account`.
    pub fn new(account: AccountName, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { account, registry, clock }
    }

    fn handle(&self) -> Option<Arc<Handle>> {
        self.registry.handles().access_token(self.account.as_str()).cloned()
    }

    fn living_of(&self, handle: &Handle) -> Option<(Generation, Token)> {
        let published = handle.published();
        let (offer, _) = published.status.servable(self.clock.boot_now())?;
        Some((offer.generation, offer.token.clone()))
    }

    async fn wait(&self) {
        loop {
            let Some(handle) = self.handle() else {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            let change = handle.changed();
            if self.living_of(&handle).is_some() {
                return;
            }
            // whether it changed is seen anew
            let _ = timeout(LOOK_AGAIN, change).await;
        }
    }
}

impl AccessToken for AccountToken {
    fn living(&self) -> Option<(Generation, Token)> {
        self.handle().and_then(|handle| self.living_of(&handle))
    }

    fn until_living(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait())
    }

    fn refused(&self, generation: Generation) {
        if let Some(handle) = self.handle() {
            // Where nobody waits, the keeper's answer goes nowhere.
            let _ = handle.begin_report(generation, Grounds::Report);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        clock::{FixedClock, Timestamp},
        credential::{CredentialId, Promise},
        heartbeat::Heartbeat,
        metrics::Metrics,
        registry::KeeperEnd,
        status::{Offer, Status},
    };

    fn account(registry: &Registry) -> KeeperEnd {
        let id = CredentialId::access_token("main".parse().unwrap());
        let (handle, end) =
            Handle::new(id.clone(), Metrics::new().credential(&id), Heartbeat::starting(Duration::ZERO));
        registry.insert(&[Arc::new(handle)]);
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
        assert!((&mut wait).now_or_never().is_some());
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
        let report = end.reports.recv().now_or_never().unwrap().unwrap();
        assert_eq!(report.generation, Generation(7));
        assert!(report.answer.is_closed());
    }
}
