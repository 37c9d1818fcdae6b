//! What does an issuer's failure call for, and how is it said to the operator? By the issuer's own table.

use std::{borrow::Cow, fmt, net::IpAddr, time::Duration};

use super::{Cause, IssueError};
use crate::language::{Bilingual, Language};

pub(super) const MINUTE: Duration = minutes(1);
pub(super) const HOUR: Duration = minutes(60);

/// Refusals of an address: at the whitelist's pace of one call a minute, five minutes.
const REFUSED_CALLS: u32 = 5;
/// Calls that were not sent: with the usual back-off, five minutes while a token lives, and two where none does.
const UNSENT_CALLS: u32 = 10;

pub(super) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// The hint for a host whose certificate is not trusted: the same for every issuer that there is.
pub(super) const CERTIFICATE: Bilingual = Bilingual::new(
    "the host's certificate is not trusted: check the CA certificates (SSL_CERT_FILE), this machine's clock, and whether \
     something on the way intercepts TLS; no restart",
    "对方的证书不受信任：检查 CA 证书（SSL_CERT_FILE）、本机时钟，以及途中是否有设备拦截 TLS；不用重启",
);
/// The hint for a host whose name leads back to a relay.
const RELAY: Bilingual = Bilingual::new(
    "the host's name leads to a token-relay: give this relay the real addresses (wechat.resolve), or another host \
     (wechat.base_url = \"https://api2.weixin.qq.com\"); see Host alias in docs/CLIENTS.md",
    "这个域名指向了 token-relay：给本中控设真实的地址（wechat.resolve），或换一个域名（wechat.base_url = \"https://api2.weixin.qq.com\"），\
     见 docs/CLIENTS.zh-CN.md 的“域名别名”",
);
/// The hint for a call that needs an access token where there is none.
const NO_ACCESS_TOKEN: Bilingual = Bilingual::new(
    "nothing to do here: the account's access token is missing, and its own entry says why",
    "这里不用管：账号的 access_token 缺失，原因见该 token 自己的条目",
);
/// Before the hint for an address that is not on the whitelist, which names it where it is known.
const NOT_LISTED: Bilingual = Bilingual::new(" is not on the IP whitelist: ", " 不在 IP 白名单中：");
const THIS_MACHINE: Bilingual = Bilingual::new("this machine's public IP", "本机的公网 IP");

/// What a failure calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try again with back-off, from `refresh.retry_min` to `refresh.retry_max`.
    Soon,
    /// A rate or quota: try again after this long, no operator needed.
    Wait(Duration),
    /// Only the operator can mend it: say so, and look again this often.
    Operator(Duration),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soon => "soon",
            Self::Wait(_) => "wait",
            Self::Operator(_) => "operator",
        })
    }
}

/// What one issuer's errors mean. The same number means different things at different issuers.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorTable {
    /// What the issuer is called in logs and answers.
    pub issuer: Bilingual,
    /// Its errcodes, each in one rule.
    pub rules: &'static [Rule],
    /// For every other errcode.
    pub others: Rule,
    /// The hint for a call that was not sent.
    pub not_sent: Bilingual,
    /// The hint for a host whose certificate is not trusted.
    pub certificate: Bilingual,
    /// The hint for a call whose outcome is not known.
    pub unknown: Bilingual,
}

/// What some errcodes call for.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The errcodes.
    pub codes: &'static [i64],
    /// When to try again, and whether only the operator can mend it.
    pub remedy: Remedy,
    /// What the operator should do.
    pub hint: Hint,
}

/// What the operator should do, in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// This.
    Text(Bilingual),
    /// This, after the IP that is not on the whitelist, where the issuer's text names it.
    Whitelist(Bilingual),
}

impl ErrorTable {
    /// What `error` calls for.
    pub fn remedy(&self, error: &IssueError) -> Remedy {
        match error {
            IssueError::NotSent { .. } | IssueError::Unknown { .. } => Remedy::Soon,
            IssueError::Refused { errcode, .. } => self.rule(*errcode).remedy,
        }
    }

    /// What the operator should do about `error`, in English: for logs and JSON.
    pub fn hint(&self, error: &IssueError) -> Cow<'static, str> {
        self.hint_in(Language::English, error)
    }

    /// What the operator should do about `error`.
    pub fn hint_in(&self, language: Language, error: &IssueError) -> Cow<'static, str> {
        let text = match error {
            IssueError::NotSent { cause: Cause::NoAccessToken } => NO_ACCESS_TOKEN,
            IssueError::NotSent { cause } if cause.is_relay() => RELAY,
            IssueError::NotSent { cause } if cause.is_certificate() => self.certificate,
            IssueError::NotSent { .. } => self.not_sent,
            IssueError::Unknown { .. } => self.unknown,
            IssueError::Refused { errcode, errmsg } => match self.rule(*errcode).hint {
                Hint::Text(text) => text,
                Hint::Whitelist(text) => {
                    let ip = named_ip(errmsg).map(|ip| ip.to_string());
                    let ip = ip.as_deref().unwrap_or(THIS_MACHINE.to(language));
                    return [ip, NOT_LISTED.to(language), text.to(language)].concat().into();
                }
            },
        };
        text.to(language).into()
    }

    /// After how many failures like `error` in a row another machine should try, if it may fare better: its address may be on the
    /// whitelist, or its way to the issuer open. Either is some minutes, in which an operator may have mended it.
    pub fn calls_before_another(&self, error: &IssueError) -> Option<u32> {
        match error {
            IssueError::NotSent { cause: Cause::NoAccessToken } | IssueError::Unknown { .. } => None,
            IssueError::NotSent { .. } => Some(UNSENT_CALLS),
            IssueError::Refused { errcode, .. } => match self.rule(*errcode).hint {
                Hint::Whitelist(_) => Some(REFUSED_CALLS),
                Hint::Text(_) => None,
            },
        }
    }

    /// What `error` says, with the issuer's name where it was the issuer that answered.
    pub fn describe(&self, error: &IssueError) -> String {
        match error {
            IssueError::Refused { .. } => format!("{} answered {error}", self.issuer.english),
            IssueError::NotSent { .. } | IssueError::Unknown { .. } => error.to_string(),
        }
    }

    fn rule(&self, errcode: i64) -> &Rule {
        self.rules.iter().find(|rule| rule.codes.contains(&errcode)).unwrap_or(&self.others)
    }
}

/// The first address in `errmsg`, as a whitelist wants it: WeChat writes `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in
/// whitelist rid: …`.
fn named_ip(errmsg: &str) -> Option<IpAddr> {
    errmsg
        .split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
        .find_map(|word| word.trim_end_matches(['.', ':']).parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    /// An issuer at which the numbers mean something else than at WeChat.
    static OTHER: ErrorTable = ErrorTable {
        issuer: Bilingual::new("Other", "其他"),
        rules: &[
            Rule {
                codes: &[-1],
                remedy: Remedy::Wait(Duration::from_secs(7)),
                hint: Hint::Text(Bilingual::new("wait", "中文")),
            },
            Rule {
                codes: &[40001, 5],
                remedy: Remedy::Operator(HOUR),
                hint: Hint::Whitelist(Bilingual::new("ask Bob", "中文")),
            },
        ],
        others: Rule {
            codes: &[],
            remedy: Remedy::Operator(Duration::from_secs(9)),
            hint: Hint::Text(Bilingual::new("look", "中文")),
        },
        not_sent: Bilingual::new("the way there", "中文"),
        certificate: Bilingual::new("the certificate", "中文"),
        unknown: Bilingual::new("nobody knows", "中文"),
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn refused(errcode: i64, errmsg: &str) -> IssueError {
        IssueError::Refused { errcode, errmsg: errmsg.to_owned() }
    }

    #[test]
    fn an_errcode_means_what_its_issuer_s_own_table_says() {
        for (errcode, remedy, hint) in [
            (-1, Remedy::Wait(Duration::from_secs(7)), "wait"),
            (40001, Remedy::Operator(HOUR), "1.2.3.4 is not on the IP whitelist: ask Bob"),
            (5, Remedy::Operator(HOUR), "1.2.3.4 is not on the IP whitelist: ask Bob"),
            (40164, Remedy::Operator(Duration::from_secs(9)), "look"),
        ] {
            let error = refused(errcode, "from 1.2.3.4");
            assert_eq!(OTHER.remedy(&error), remedy, "{errcode}");
            assert_eq!(OTHER.hint(&error), hint, "{errcode}");
            assert_eq!(OTHER.describe(&error), format!("Other answered errcode {errcode}: from 1.2.3.4"));
        }
    }

    #[test]
    fn what_was_not_answered_is_tried_again_soon_with_the_issuer_s_own_hint() {
        let worded = |text: &str| Cause::Worded(text.to_owned());
        let certificate = Cause::Certificate { host: "h".to_owned(), detail: "expired".to_owned() };
        for (error, hint, text) in [
            (IssueError::NotSent { cause: worded("a certificate?") }, "the way there", "not sent: a certificate?"),
            (IssueError::NotSent { cause: certificate }, "the certificate", "not sent: h: expired"),
            (IssueError::Unknown { cause: worded("502") }, "nobody knows", "outcome unknown: 502"),
        ] {
            assert_eq!(OTHER.remedy(&error), Remedy::Soon);
            assert_eq!((&*OTHER.hint(&error), &*OTHER.describe(&error)), (hint, text));
        }
    }

    #[test]
    fn another_machine_should_try_where_this_one_s_address_or_way_may_be_at_fault() {
        let not_sent = |cause| IssueError::NotSent { cause };
        for (error, calls) in [
            (refused(5, "from 1.2.3.4"), Some(REFUSED_CALLS)),
            (refused(-1, ""), None),
            (not_sent(Cause::NoConnection(MINUTE)), Some(UNSENT_CALLS)),
            (not_sent(Cause::Relay), Some(UNSENT_CALLS)),
            (not_sent(Cause::NoAccessToken), None),
            (IssueError::Unknown { cause: Cause::NoReply(MINUTE) }, None),
        ] {
            assert_eq!(OTHER.calls_before_another(&error), calls, "{error}");
        }
    }

    #[test]
    fn the_ip_is_found_as_the_whitelist_wants_it() {
        for (errmsg, ip) in [
            ("invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 6aac005a-01bfdbee-79769285", "1.2.3.4 is"),
            ("invalid ip 2001:db8::1, not in whitelist rid: 6aac005a", "2001:db8::1 is"),
            ("invalid ip ::ffff:203.0.113.9. not in whitelist", "203.0.113.9 is"),
            ("not in whitelist rid: 6aac005a-01bfdbee-79769285", "this machine's public IP is"),
            ("invalid ip 999.1.1.1 not in whitelist", "this machine's public IP is"),
        ] {
            let hint = OTHER.hint(&refused(40001, errmsg));
            assert!(hint.starts_with(ip) && hint.ends_with("ask Bob"), "{hint}");
        }
        assert_eq!(OTHER.hint(&refused(40013, "invalid ip 1.2.3.4")), "look");
    }
}
