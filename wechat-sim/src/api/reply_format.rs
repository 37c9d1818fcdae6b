//! How do replies look: WeChat's, and WeCom's?

use std::net::IpAddr;

use serde::Serialize;

use super::Answer;
use super::answer::json;
use crate::http::Reply;
use crate::model::{Platform, Refusal};

/// The format of the replies to one call.
pub(crate) struct ReplyFormat {
    pub(super) platform: Platform,
    /// The call would give a list of addresses: WeCom's refusal has an empty one.
    pub(super) is_ip_list: bool,
    /// WeChat's rid, or WeCom's hint.
    pub(super) id: String,
    pub(super) ip: IpAddr,
}

impl ReplyFormat {
    pub(crate) fn result(&self, result: &Result<Answer, Refusal>) -> Reply {
        match result {
            Ok(answer) => self.with_media_type(answer.reply()),
            Err(refusal) => self.error(refusal.errcode(), Some(&refusal.to_string())),
        }
    }

    /// A business error. The text is without the rid or hint; the documented one is used when left out.
    pub(crate) fn error(&self, errcode: i64, text: Option<&str>) -> Reply {
        let documented = || Refusal::documented_text(errcode, self.ip, self.platform);
        let text = text.map_or_else(documented, str::to_owned);
        match self.platform {
            Platform::WeChat => self.json(self.error_body(errcode, &format!("{text} rid: {}", self.id))),
            Platform::WeCom => {
                let ip = self.ip.to_canonical();
                let link = format!("https://open.work.weixin.qq.com/devtool/query?e={errcode}");
                let text = format!("{text}, hint: [{}], from ip: {ip}, more info at {link}", self.id);
                let reply = self.json(self.error_body(errcode, &text));
                reply.with("Error-Code", errcode.to_string()).with("Error-Msg", text)
            }
        }
    }

    /// A good token is refused all the same.
    pub(crate) fn false_refusal(&self) -> i64 {
        match self.platform {
            Platform::WeChat => Refusal::NotLatestToken.errcode(),
            Platform::WeCom => Refusal::MalformedToken.errcode(),
        }
    }

    pub(crate) fn json(&self, body: impl Into<Vec<u8>>) -> Reply {
        self.with_media_type(Reply::json(body))
    }

    /// WeCom has its own spelling of the media type of JSON.
    fn with_media_type(&self, mut reply: Reply) -> Reply {
        if self.platform == Platform::WeCom && reply.content_type.starts_with("application/json") {
            reply.content_type = "application/json; charset=UTF-8".into();
        }
        reply
    }

    fn error_body(&self, errcode: i64, errmsg: &str) -> Vec<u8> {
        let ip_list = (self.is_ip_list && self.platform == Platform::WeCom).then_some([]);
        json(&ErrorBody { ip_list, errcode, errmsg })
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_list: Option<[(); 0]>,
    errcode: i64,
    errmsg: &'a str,
}
