//! Which relays are looked at? Accounts as they stand after a day, without a keeper behind them.

use std::{sync::Arc, time::Duration};

use token_relay::{
    clock::{Clock, SystemClock, WallTime},
    credential::Generation,
    issuer::{Cause, IssueError, wechat::ERRORS},
    recent::Happening,
    status::{Budget, Failure, Lease, Status},
};

use crate::fake_relay::{FakeRelay, offering};

const LIFE: u64 = 7200;
const HOUR: u64 = 3600;

/// A few accounts of several kinds, all well.
pub(super) fn calm() -> FakeRelay {
    let names = [
        "main",
        "main.jsapi",
        "main.wx_card",
        "crm",
        "member_card",
        "member_card.wx_card",
        "mini_mall",
        "mini_pay",
        "oa_agent",
        "oa_agent.agent_config",
        "oa_agent.jsapi",
        "staging",
    ];
    let fake = FakeRelay::of(&names);
    for (number, name) in names.iter().enumerate() {
        lives(&fake, name, 240 + (number as u64 * 1471) % 3300);
    }
    stumbles(&fake, "crm");
    stumbles(&fake, "member_card");
    fake
}

/// The egress IP has changed: `main` is dead, `mini_mall` lives still; and WeChat's answer to `crm` was lost.
pub(super) fn refused_ip() -> FakeRelay {
    let fake = calm();
    fails(&fake, "main", None, refused("203.0.113.7"), 118);
    fails(&fake, "mini_mall", Some(1320), refused("203.0.113.7"), 38);
    let cause = Cause::NoReply(Duration::from_secs(8));
    fails(&fake, "crm", Some(200), IssueError::Unknown { cause }, 1);
    fake
}

/// 500 accounts, of which three fail.
pub(super) fn many() -> FakeRelay {
    let names: Vec<String> = (1..=500).map(|number| format!("store_{number:03}")).collect();
    let fake = FakeRelay::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, name) in names.iter().enumerate() {
        lives(&fake, name, (number as u64 * 1471) % 3500);
    }
    fails(&fake, "store_217", None, refused("203.0.113.7"), 240);
    fails(&fake, "store_042", Some(2400), refused("203.0.113.7"), 20);
    fails(&fake, "store_388", Some(600), refused("203.0.113.7"), 50);
    fake
}

fn refused(ip: &str) -> IssueError {
    let errmsg = format!("invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist rid: 6b030ea5-e9e34b50-a9bea1e6");
    IssueError::Refused { errcode: 40164, errmsg }
}

/// Renewed every hour of the last day, and for the last time `age` seconds ago.
pub(super) fn lives(fake: &FakeRelay, name: &str, age: u64) {
    let wall = SystemClock.now().wall;
    fake.publish(name, status(LIFE - age, Some(HOUR.saturating_sub(age))));
    for hour in (0..20).rev() {
        let at = WallTime::from_millis(wall.as_millis() - millis(age + hour * HOUR));
        fake.handle(name).history.add(at, Happening::Rotated);
    }
}

/// A minute without an answer before one of its renewals.
fn stumbles(fake: &FakeRelay, name: &str) {
    let entries = fake.handle(name).history.entries();
    for (place, entry) in entries.iter().enumerate() {
        if place == 6 {
            (0..4).for_each(|_| fake.handle(name).history.repeat(entry.at, Happening::Unknown));
        }
        fake.handle(name).history.add(entry.at, Happening::Rotated);
    }
}

/// So many calls of the last two hours failed; so much is left of the last token.
pub(super) fn fails(fake: &FakeRelay, name: &str, left: Option<u64>, error: IssueError, times: u32) {
    let at = SystemClock.now().wall;
    let happening = match &error {
        IssueError::Refused { errcode, .. } => Happening::refused(*errcode),
        IssueError::Unknown { .. } => Happening::Unknown,
        IssueError::NotSent { .. } => Happening::NotSent,
    };
    (0..times).for_each(|_| fake.handle(name).history.repeat(at, happening));
    let trouble = Some(Arc::new(Failure { error, errors: &ERRORS, at, repeated: times }));
    let served = match left {
        Some(left) => status(left, None),
        None => Status { offer: None, life: Duration::ZERO, ..status(0, None) },
    };
    let next_attempt_at = Some(SystemClock.boot_now().plus(Duration::from_secs(41)));
    fake.publish(name, Status { trouble, failures: times, next_attempt_at, ..served });
}

fn status(left: u64, rotation_in: Option<u64>) -> Status {
    let now = SystemClock.boot_now();
    let after = |seconds| now.plus(Duration::from_secs(seconds));
    let generation = u64::try_from(SystemClock.now().wall.as_millis()).unwrap() - (LIFE - left) * 1000;
    let mut status = offering(generation, "sentinel_token", left);
    let offer = status.offer.as_mut().unwrap();
    (offer.generation, offer.promise.until, offer.promise.sliding) = (Generation(generation), after(left), None);
    let rotation_at = Some(rotation_in.map_or(now, after));
    let budget = Budget { calls: 374, forced: 6, probes: 298 };
    let life = Duration::from_secs(LIFE);
    Status {
        rotation_at,
        next_attempt_at: rotation_at,
        lease: Lease::Alone,
        life,
        budget,
        whole_budget: Budget { calls: 400, forced: 6, probes: 300 },
        ..status
    }
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds * 1000).unwrap()
}
