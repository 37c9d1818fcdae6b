//! Is a host of a platform found and reached, and does it show the same time?

use std::{borrow::Borrow, io, net::SocketAddr, time::Duration};

use humantime::format_duration;
use tokio::{net::lookup_host, time::timeout};

use super::{CommandError, Finding, Platform, Report, Upstream, UpstreamSettings, account::errors, failed};
use crate::{
    clock::{Clock, SystemClock, WallTime},
    issuer::{Cause, IssueError, greeting::greet, upstream::Url},
    keeper::record::CLOCK_TOLERANCE,
};

/// So many addresses are shown.
const SHOWN: usize = 4;

/// Whether the one host of `settings` was reached. Through a proxy its name is not looked up here.
pub(super) async fn check(
    settings: UpstreamSettings,
    platform: Platform,
    report: &mut Report,
) -> Result<bool, CommandError> {
    let url = settings.base_url.clone();
    let host = url.host_str().unwrap_or_default();
    if let (Some(name), None) = (url.domain(), &settings.proxy) {
        let found = match addresses(name, &settings, &url).await {
            Ok(addresses) => Finding::Good(addresses),
            Err(detail) => unreached(platform, name, detail),
        };
        report.add(&format!("{host}: DNS"), &found)?;
    }
    let upstream = Upstream::new(settings).map_err(|error| failed(&error))?;
    let sent = SystemClock.now().wall;
    let answer = greet(&upstream).await;
    let received = SystemClock.now().wall;
    let reached = match &answer {
        Ok(_) => Finding::Good(format!("answered within {} ms", received.as_millis() - sent.as_millis())),
        Err(error) => Finding::failed(errors(platform), error),
    };
    report.add(&format!("{host}: {}", if url.scheme() == "https" { "TCP and TLS" } else { "TCP" }), &reached)?;
    if let Some(date) = answer.ok().and_then(|greeting| greeting.date) {
        report.add(&format!("{host}: clock"), &clock(sent, received, date))?;
    }
    Ok(reached.is_good())
}

/// Those of `wechat.resolve`, or of a look-up.
async fn addresses(name: &str, settings: &UpstreamSettings, url: &Url) -> Result<String, String> {
    match settings.resolve.of(name) {
        Some(given) => Ok(format!("{} (wechat.resolve)", shown(given.iter()))),
        None => look_up(name, url, settings.connect_timeout).await,
    }
}

fn shown(addresses: impl Iterator<Item = impl Borrow<SocketAddr>>) -> String {
    addresses.take(SHOWN).map(|address| address.borrow().ip().to_string()).collect::<Vec<_>>().join(", ")
}

async fn look_up(name: &str, url: &Url, limit: Duration) -> Result<String, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    let found = match timeout(limit, lookup_host((name, port))).await {
        Ok(found) => found.map_err(|error: io::Error| error.to_string())?,
        Err(_elapsed) => return Err(format!("no answer of DNS within {}", format_duration(limit))),
    };
    Ok(shown(found))
}

fn unreached(platform: Platform, host: &str, detail: String) -> Finding {
    let error = IssueError::NotSent { cause: Cause::Network { host: host.to_owned(), detail } };
    Finding::failed(errors(platform), &error)
}

/// The host wrote its date, in whole seconds, between the two moments.
fn clock(sent: WallTime, received: WallTime, date: WallTime) -> Finding {
    let ours = i64::midpoint(sent.as_millis(), received.as_millis());
    let ahead = ours - date.as_millis() - 500;
    let off = Duration::from_millis(ahead.unsigned_abs());
    if off <= CLOCK_TOLERANCE {
        return Finding::Good(format!("the same within {}", format_duration(CLOCK_TOLERANCE)));
    }
    let off = format_duration(Duration::from_secs(off.as_secs()));
    Finding::Wrong {
        what: format!("this machine's clock is {off} {} the host's", if ahead > 0 { "ahead of" } else { "behind" }),
        advice: "let NTP set it (chrony, systemd-timesyncd): certificates, logs and stored records are judged by it"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_once_it_is_more_than_the_tolerance_away() {
        let at = WallTime::from_millis;
        for (sent, received, good) in [(100_000, 101_000, true), (105_000, 106_000, true), (96_000, 96_400, true)] {
            assert_eq!(clock(at(sent), at(received), at(100_000)).is_good(), good);
        }
        for (sent, said) in [(161_000, "clock is 1m ahead of the host's"), (40_500, "clock is 1m behind the host's")] {
            let Finding::Wrong { what, .. } = clock(at(sent), at(sent), at(100_000)) else { panic!("{sent}") };
            assert!(what.ends_with(said), "{what}");
        }
    }
}
