//! On which of WeChat's platforms is an account, and by which codes does that platform name a token bad?

use std::{fmt, str::FromStr};

use super::{wechat, wecom};
use crate::credential::TicketKind;

/// A platform: a host with accounts, codes and tokens of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Platform {
    /// WeChat (微信): official accounts and mini programs, at `api.weixin.qq.com`.
    #[default]
    WeChat,
    /// WeCom (企业微信): the agents of a corp, at `qyapi.weixin.qq.com`.
    WeCom,
}

/// A text that names no platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"wechat\" or \"wecom\"")]
pub struct NotAPlatform;

impl Platform {
    /// Both.
    pub const ALL: [Self; 2] = [Self::WeChat, Self::WeCom];

    /// Its name in settings.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WeChat => "wechat",
            Self::WeCom => "wecom",
        }
    }

    /// The tickets that it has.
    pub const fn tickets(self) -> &'static [TicketKind] {
        match self {
            Self::WeChat => &[TicketKind::Jsapi, TicketKind::WxCard],
            Self::WeCom => &[TicketKind::Jsapi, TicketKind::AgentConfig],
        }
    }

    /// The errcodes by which its APIs call an access token bad.
    pub const fn bad_token(self) -> &'static [i64] {
        match self {
            Self::WeChat => &wechat::BAD_TOKEN,
            Self::WeCom => &wecom::BAD_TOKEN,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Platform {
    type Err = NotAPlatform;

    fn from_str(text: &str) -> Result<Self, NotAPlatform> {
        Self::ALL.into_iter().find(|platform| platform.label() == text).ok_or(NotAPlatform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_one_name_everywhere() {
        for platform in Platform::ALL {
            assert_eq!(platform.label().parse(), Ok(platform));
            assert_eq!(platform.to_string(), platform.label());
        }
        assert_eq!("WeCom".parse::<Platform>(), Err(NotAPlatform));
    }

    #[test]
    fn a_wrong_secret_of_wecom_is_no_bad_token() {
        assert!(Platform::WeChat.bad_token().contains(&40001));
        assert_eq!(Platform::WeCom.bad_token(), [40014, 42001]);
    }
}
