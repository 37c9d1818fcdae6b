//! Does a platform give this machine a token of the account? That needs the right AppSecret and the IP on the whitelist.

use std::time::Duration;

use humantime::format_duration;

use super::{AccountSettings, Finding, Platform, Upstream};
use crate::{
    issuer::{
        ErrorTable, Issued, Issuer,
        wechat::{self, WeChat, WeChatAccount},
        wecom::{self, WeCom, WeComAgent},
    },
    settings::{AppSettings, Endpoint},
};

/// What the answer means.
pub(super) fn question(account: &AccountSettings) -> &'static str {
    match account.app.platform() {
        Platform::WeChat => "AppSecret and IP whitelist (stable_token)",
        Platform::WeCom => "secret and trusted IP (gettoken)",
    }
}

/// Asks once. The token is dropped.
pub(super) async fn ask(upstream: &Upstream, account: &AccountSettings) -> Finding {
    match issuer(upstream.clone(), account).issue(false).await {
        Ok(Issued { life, .. }) => {
            Finding::Good(format!("accepted, a token of {} was returned", format_duration(life)))
        }
        Err(error) => Finding::failed(errors(account.app.platform()), &error),
    }
}

/// What the errors of a platform mean.
pub(super) const fn errors(platform: Platform) -> &'static ErrorTable {
    match platform {
        Platform::WeChat => &wechat::ERRORS,
        Platform::WeCom => &wecom::ERRORS,
    }
}

/// One that rotates nothing, whichever endpoint the account has: `/cgi-bin/token` would end the token that a relay serves.
fn issuer(upstream: Upstream, account: &AccountSettings) -> Box<dyn Issuer> {
    let secret = account.secret.clone();
    match &account.app {
        AppSettings::WeChat { appid, .. } => {
            let (appid, endpoint) = (appid.as_str().to_owned(), Endpoint::StableToken);
            // `overlap` is for keepers
            let app = WeChatAccount { appid, secret, endpoint, overlap: Duration::ZERO };
            Box::new(WeChat::new(upstream, app))
        }
        AppSettings::WeCom { corpid } => {
            Box::new(WeCom::new(upstream, WeComAgent { corpid: corpid.as_str().to_owned(), secret }))
        }
    }
}
