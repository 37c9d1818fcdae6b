//! Which call of WeChat's API is a request, and what is its answer?

use std::net::IpAddr;
use std::time::Duration;

use crate::http::{Head, Intake, Request};
use crate::model::{Model, Platform, Refusal};
use crate::operation::Op;

pub(crate) use answer::Answer;
pub(crate) use reply_format::ReplyFormat;

mod answer;
mod echo;
mod media;
mod message;
mod reply_format;
mod sns;
mod ticket;
mod token;
mod user_info;
mod wecom;
mod with_token;
mod wxacode;

/// A request to WeChat with its operation and parameters. No `Debug`: it holds secrets and tokens.
pub(crate) struct ApiRequest {
    route: Route,
    platform: Platform,
    is_ip_list: bool,
    call: Result<Box<dyn Operation>, Refusal>,
}

/// What is known of a call by its path alone. Each family of routes has a file with its own.
#[derive(Clone, Copy)]
struct Route {
    op: Op,
    intake: Intake,
    /// Reads the parameters; a refusal needs no look at WeChat's state.
    read: fn(&Request) -> Result<Box<dyn Operation>, Refusal>,
    /// What a good answer would look like. Nothing is executed, and a token in it never worked.
    fake_answer: fn(&mut Model) -> Answer,
}

/// One call with its parameters.
trait Operation: Send + Sync {
    /// The app of the call: as claimed, or the owner of the token.
    fn appid<'a>(&'a self, model: &'a Model, now: Duration) -> Option<&'a str>;

    /// Does the caller ask for a forced refresh?
    fn forced(&self) -> bool {
        false
    }

    /// Executes it.
    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal>;
}

/// When a call is executed, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallContext {
    /// Since the start.
    pub(crate) now: Duration,
    /// The wall clock.
    pub(crate) unix_s: u64,
    /// The caller.
    pub(crate) ip: IpAddr,
}

impl ApiRequest {
    pub(crate) fn read(request: &Request) -> Self {
        let route = route(&request.path);
        let platform = match route.op {
            Op::Token | Op::StableToken | Op::Ticket | Op::Sns => Platform::WeChat,
            Op::WecomToken | Op::WecomTicket => Platform::WeCom,
            // Both have them, or may have: the token decides.
            Op::Api | Op::Media | Op::Echo | Op::Any => {
                Platform::of_token(request.parameter("access_token").unwrap_or_default())
            }
        };
        let is_ip_list = matches!(request.path.as_str(), "/cgi-bin/get_api_domain_ip" | "/cgi-bin/getcallbackip");
        Self { route, platform, is_ip_list, call: (route.read)(request) }
    }

    /// Takes an id for an error from the model.
    pub(crate) fn format(&self, model: &mut Model, at: CallContext) -> ReplyFormat {
        let id = match self.platform {
            Platform::WeChat => model.rid(at.unix_s),
            Platform::WeCom => model.hint(at.unix_s),
        };
        ReplyFormat { platform: self.platform, is_ip_list: self.is_ip_list, id, ip: at.ip }
    }

    /// The app of the call, empty when there is none.
    pub(crate) fn appid(&self, model: &Model, now: Duration) -> String {
        let appid = self.call.as_ref().ok().and_then(|call| call.appid(model, now));
        appid.unwrap_or_default().to_owned()
    }

    pub(crate) fn forced(&self) -> bool {
        self.call.as_ref().is_ok_and(|call| call.forced())
    }

    pub(crate) fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        self.call.as_ref().map_err(|refusal| *refusal)?.execute(model, at)
    }

    /// What a good answer would look like, without executing anything.
    pub(crate) fn fake_answer(&self, model: &mut Model) -> Answer {
        (self.route.fake_answer)(model)
    }
}

/// Which operation a request is and how its body is to be read.
pub(crate) fn expected(head: &Head) -> (Op, Intake) {
    let Route { op, intake, .. } = route(&head.path);
    (op, intake)
}

fn route(path: &str) -> Route {
    match path {
        "/cgi-bin/token" => token::ROTATING,
        "/cgi-bin/stable_token" => token::STICKY,
        "/cgi-bin/ticket/getticket" => ticket::TICKET,
        "/sns/jscode2session" => sns::SESSION,
        "/sns/oauth2/access_token" => sns::USER_TOKEN,
        "/sns/oauth2/refresh_token" => sns::REFRESH,
        "/sns/userinfo" => sns::USER_INFO,
        "/sns/auth" => sns::AUTH,
        "/cgi-bin/message/custom/send"
        | "/cgi-bin/message/subscribe/send"
        | "/cgi-bin/message/wxopen/template/uniform_send" => message::MESSAGE,
        "/cgi-bin/media/upload" => media::UPLOAD,
        "/cgi-bin/media/get" => media::DOWNLOAD,
        "/cgi-bin/user/info" => user_info::USER_INFO,
        "/wxa/getwxacode" => wxacode::WXACODE,
        "/cgi-bin/gettoken" => wecom::TOKEN,
        "/cgi-bin/get_jsapi_ticket" => wecom::CORP_TICKET,
        "/cgi-bin/ticket/get" => wecom::AGENT_TICKET,
        "/cgi-bin/get_api_domain_ip" | "/cgi-bin/getcallbackip" => with_token::IP_LIST,
        _ if path.ends_with("/echo") => echo::ECHO,
        _ => with_token::OTHER,
    }
}

/// The token of a call that needs one.
fn access_token(request: &Head) -> Result<String, Refusal> {
    present(request, "access_token").ok_or(Refusal::MissingToken)
}

/// A query parameter that is given and not empty.
fn present(request: &Head, name: &str) -> Option<String> {
    request.parameter(name).filter(|value| !value.is_empty()).map(str::to_owned)
}
