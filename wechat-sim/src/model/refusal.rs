//! What does WeChat say when it refuses?

use std::net::IpAddr;

/// A business error. `Display` is WeChat's text without the closing ` rid: …`, which needs a clock and random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 41002
    #[error("appid missing")]
    MissingAppid,
    /// 40013
    #[error("invalid appid")]
    UnknownAppid,
    /// 40002
    #[error("invalid grant_type")]
    WrongGrantType,
    /// 41004
    #[error("appsecret missing")]
    MissingSecret,
    /// 40125
    #[error("invalid appsecret")]
    WrongSecret,
    /// 40001 at a token endpoint: the AppSecret of before the last reset. WeChat gives 40001 and 40125 for bad secrets, and has not
    /// published when which.
    #[error("invalid credential, appsecret is invalid or not latest")]
    ResetSecret,
    /// 40243
    #[error("AppSecret has been frozen, please unfreeze it and try again")]
    FrozenSecret,
    /// 40164: the caller's address is not on the whitelist, and the text has it.
    #[error("invalid ip {} ipv6 {}, not in whitelist", plain(*.0), mapped(*.0))]
    ForeignIp(IpAddr),
    /// 45009
    #[error("reach max api daily quota limit")]
    DailyQuota,
    /// 45011
    #[error("api minute-quota reach limit, must slower, retry next minute")]
    MinuteLimit,
    /// 43001
    #[error("require GET method")]
    NotGet,
    /// 43002
    #[error("require POST method")]
    NotPost,
    /// 44002
    #[error("empty post data")]
    EmptyBody,
    /// 47001
    #[error("data format error")]
    NotJson,
    /// 41001
    #[error("access_token missing")]
    MissingToken,
    /// 40014: not of a token's alphabet, or longer than the 512 characters that WeChat reserves.
    #[error("invalid access_token")]
    MalformedToken,
    /// 42001: it has lived out its life.
    #[error("access_token expired")]
    ExpiredToken,
    /// 40001: rotated away, revoked, or never minted.
    #[error(
        "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, \
         more details at https://mmbizurl.cn/s/JtxxFh33r"
    )]
    NotLatestToken,
    /// 40097: a ticket type that is neither `jsapi` nor `wx_card`.
    #[error("invalid args")]
    WrongTicketType,
}

impl Refusal {
    /// The number that clients branch on.
    pub fn errcode(self) -> i64 {
        match self {
            Self::MissingAppid => 41002,
            Self::UnknownAppid => 40013,
            Self::WrongGrantType => 40002,
            Self::MissingSecret => 41004,
            Self::WrongSecret => 40125,
            Self::FrozenSecret => 40243,
            Self::ForeignIp(_) => 40164,
            Self::DailyQuota => 45009,
            Self::MinuteLimit => 45011,
            Self::NotGet => 43001,
            Self::NotPost => 43002,
            Self::EmptyBody => 44002,
            Self::NotJson => 47001,
            Self::MissingToken => 41001,
            Self::MalformedToken => 40014,
            Self::ExpiredToken => 42001,
            Self::ResetSecret | Self::NotLatestToken => 40001,
            Self::WrongTicketType => 40097,
        }
    }
}

fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn mapped(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => format!("::ffff:{v4}"),
        IpAddr::V6(v6) => v6.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_40164_names_the_ip_in_both_notations() {
        let refusal = Refusal::ForeignIp("1.2.3.4".parse().unwrap());
        assert_eq!(refusal.to_string(), "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist");
    }
}
