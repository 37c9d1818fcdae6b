//! WeChat or WeCom? Both serve on one port here. The length of a token decides, whether it is alive, dead or was never minted.

use super::token_format;

/// Two products with different tokens, errcodes and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// `api.weixin.qq.com`: official accounts and mini programs.
    WeChat,
    /// `qyapi.weixin.qq.com`: 企业微信.
    WeCom,
}

impl Platform {
    /// Whose token this is.
    pub fn of_token(token: &str) -> Self {
        if token.len() == token_format::WECOM_LENGTH { Self::WeCom } else { Self::WeChat }
    }
}
