//! Who has sent too many wrong secrets?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::{Refusal, Rules};

/// The callers that have sent a wrong secret.
#[derive(Debug, Default)]
pub(super) struct Bans(BTreeMap<IpAddr, Offender>);

#[derive(Debug)]
struct Offender {
    /// When the first wrong secret came.
    since: Duration,
    wrong_secrets: u32,
    banned_until: Option<Duration>,
}

impl Bans {
    pub(super) fn check(&self, now: Duration, ip: IpAddr) -> Result<(), Refusal> {
        if self.left(now, ip).is_some() { Err(Refusal::TooManyCalls) } else { Ok(()) }
    }

    /// For how long the caller is refused.
    pub(super) fn left(&self, now: Duration, ip: IpAddr) -> Option<Duration> {
        let left = self.0.get(&ip)?.banned_until?.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// Counts a wrong secret. The one that reaches the limit still gets 40001, and starts the ban.
    pub(super) fn count(&mut self, now: Duration, ip: IpAddr, rules: &Rules) {
        let fresh = Offender { since: now, wrong_secrets: 0, banned_until: None };
        let offender = self.0.entry(ip).or_insert(fresh);
        if offender.is_over(now, rules) {
            *offender = Offender { since: now, wrong_secrets: 0, banned_until: None };
        }
        offender.wrong_secrets += 1;
        if offender.wrong_secrets >= rules.wecom_wrong_secrets {
            offender.banned_until = Some(now + rules.wecom_ban);
        }
    }

    pub(super) fn counts(&self, now: Duration, rules: &Rules) -> BTreeMap<IpAddr, u32> {
        let open = self.0.iter().filter(|(_, offender)| !offender.is_over(now, rules));
        open.map(|(ip, offender)| (*ip, offender.wrong_secrets)).collect()
    }
}

impl Offender {
    /// The ban has ended, or as much time has passed without one.
    fn is_over(&self, now: Duration, rules: &Rules) -> bool {
        now >= self.banned_until.unwrap_or(self.since + rules.wecom_ban)
    }
}
