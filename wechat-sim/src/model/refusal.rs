//! What does WeChat say when it refuses?

use std::net::IpAddr;

use super::Platform;

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
    /// 40014: not of a token's alphabet, or longer than the 512 characters that WeChat reserves. At WeCom also revoked, or never minted.
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
    /// 41008
    #[error("missing code")]
    MissingCode,
    /// 40029: never given out, of another app or another kind of login, or too old.
    #[error("invalid code")]
    InvalidCode,
    /// 40163
    #[error("code been used")]
    UsedCode,
    /// 41009
    #[error("missing openid")]
    MissingOpenid,
    /// 40003
    #[error("invalid openid")]
    InvalidOpenid,
    /// 41003
    #[error("refresh_token missing")]
    MissingRefreshToken,
    /// 40030
    #[error("invalid refresh_token")]
    InvalidRefreshToken,
    /// 42002
    #[error("refresh_token expired")]
    ExpiredRefreshToken,
    /// 40004
    #[error("invalid media type")]
    InvalidMediaType,
    /// 41005: no form, or one without a file.
    #[error("media data missing")]
    MissingMedia,
    /// 41006
    #[error("media_id missing")]
    MissingMediaId,
    /// 40007: never given out, another app's, or its bytes are kept no longer.
    #[error("invalid media_id")]
    InvalidMediaId,
    /// 40159: the `path` of a mini program's code is missing.
    #[error("invalid length for path, or the data is not json string")]
    InvalidPath,
    /// 41002 at WeCom.
    #[error("corpid missing")]
    MissingCorpid,
    /// 40013 at WeCom.
    #[error("invalid corpid")]
    UnknownCorpid,
    /// 41004 at WeCom.
    #[error("corpsecret missing")]
    MissingCorpSecret,
    /// 40001 at WeCom: no agent of the corp has this secret. A few of them ban the caller.
    #[error("invalid credential")]
    WrongCorpSecret,
    /// 45009 at WeCom: the caller is banned, or has asked for too many tickets this hour.
    #[error("api freq out of limit")]
    TooManyCalls,
    /// 40058 at WeCom: the type of a ticket is not `agent_config`.
    #[error("invalid Request Parameter")]
    InvalidParameter,
    /// 48001: the user has allowed less.
    #[error("api unauthorized")]
    Unauthorized,
}

impl Refusal {
    /// The number that clients branch on.
    pub fn errcode(self) -> i64 {
        match self {
            Self::MissingAppid | Self::MissingCorpid => 41002,
            Self::UnknownAppid | Self::UnknownCorpid => 40013,
            Self::WrongGrantType => 40002,
            Self::MissingSecret | Self::MissingCorpSecret => 41004,
            Self::WrongSecret => 40125,
            Self::FrozenSecret => 40243,
            Self::ForeignIp(_) => 40164,
            Self::DailyQuota | Self::TooManyCalls => 45009,
            Self::MinuteLimit => 45011,
            Self::NotGet => 43001,
            Self::NotPost => 43002,
            Self::EmptyBody => 44002,
            Self::NotJson => 47001,
            Self::MissingToken => 41001,
            Self::MalformedToken => 40014,
            Self::ExpiredToken => 42001,
            Self::ResetSecret | Self::NotLatestToken | Self::WrongCorpSecret => 40001,
            Self::WrongTicketType => 40097,
            Self::MissingCode => 41008,
            Self::InvalidCode => 40029,
            Self::UsedCode => 40163,
            Self::MissingOpenid => 41009,
            Self::InvalidOpenid => 40003,
            Self::MissingRefreshToken => 41003,
            Self::InvalidRefreshToken => 40030,
            Self::ExpiredRefreshToken => 42002,
            Self::InvalidMediaType => 40004,
            Self::MissingMedia => 41005,
            Self::MissingMediaId => 41006,
            Self::InvalidMediaId => 40007,
            Self::InvalidPath => 40159,
            Self::InvalidParameter => 40058,
            Self::Unauthorized => 48001,
        }
    }

    /// The text of an errcode, for one that no rule has led to.
    pub(crate) fn documented_text(errcode: i64, ip: IpAddr, platform: Platform) -> String {
        let of_wecom = if platform == Platform::WeCom { Self::OF_WECOM.as_slice() } else { &[] };
        let documented = of_wecom.iter().chain(&Self::OF_WECHAT).copied().chain([Self::ForeignIp(ip)]);
        match documented.into_iter().find(|refusal| refusal.errcode() == errcode) {
            Some(refusal) => refusal.to_string(),
            None => if errcode < 0 { "system error" } else { "request refused" }.to_owned(),
        }
    }

    /// Those that WeCom has instead of WeChat's, or alone.
    const OF_WECOM: [Self; 6] = [
        Self::MissingCorpid,
        Self::UnknownCorpid,
        Self::MissingCorpSecret,
        Self::WrongCorpSecret,
        Self::TooManyCalls,
        Self::InvalidParameter,
    ];

    /// One refusal of each errcode but 40164. 40001 has two texts: the one of APIs with a token is meant.
    const OF_WECHAT: [Self; 30] = [
        Self::MissingAppid,
        Self::UnknownAppid,
        Self::WrongGrantType,
        Self::MissingSecret,
        Self::WrongSecret,
        Self::FrozenSecret,
        Self::DailyQuota,
        Self::MinuteLimit,
        Self::NotGet,
        Self::NotPost,
        Self::EmptyBody,
        Self::NotJson,
        Self::MissingToken,
        Self::MalformedToken,
        Self::ExpiredToken,
        Self::NotLatestToken,
        Self::MissingCode,
        Self::InvalidCode,
        Self::UsedCode,
        Self::MissingOpenid,
        Self::InvalidOpenid,
        Self::MissingRefreshToken,
        Self::InvalidRefreshToken,
        Self::ExpiredRefreshToken,
        Self::InvalidMediaType,
        Self::MissingMedia,
        Self::MissingMediaId,
        Self::InvalidMediaId,
        Self::InvalidPath,
        Self::Unauthorized,
    ];
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
