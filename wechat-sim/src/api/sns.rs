//! Logins of users, with the AppSecret, and what their own tokens are good for: `/sns/…`.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Answer, CallContext, Operation, Route, access_token};
use crate::http::{Intake, Request};
use crate::model::{Claim, Login, Model, Refusal, Session, UserGrant};
use crate::operation::Op;

pub(super) const SESSION: Route = Route {
    op: Op::Sns,
    intake: Intake::Whole,
    read: |request| {
        login(request, "js_code", |model, now, ip, claim, code| model.session(now, ip, claim, code).map(session))
    },
    fake_answer: |model| session(model.counterfeit_session()),
};
pub(super) const USER_TOKEN: Route = Route {
    op: Op::Sns,
    intake: Intake::Whole,
    read: |request| {
        login(request, "code", |model, now, ip, claim, code| model.user_token(now, ip, claim, code).map(user_token))
    },
    fake_answer: |model| user_token(model.counterfeit_user()),
};
pub(super) const REFRESH: Route = Route {
    op: Op::Sns,
    intake: Intake::Whole,
    read: |request| {
        let refresh: Redeem = |model, now, _, claim, token| model.refresh_user_token(now, claim, token).map(user_token);
        login(request, "refresh_token", refresh)
    },
    fake_answer: |model| user_token(model.counterfeit_user()),
};
pub(super) const USER_INFO: Route = Route {
    op: Op::Sns,
    intake: Intake::Whole,
    read: |request| with_user_token(request, profile),
    fake_answer: |model| Answer::json(&Profile::of(&model.counterfeit_user().login)),
};
pub(super) const AUTH: Route = Route {
    op: Op::Sns,
    intake: Intake::Whole,
    read: |request| with_user_token(request, |_| Ok(Answer::done())),
    fake_answer: |_| Answer::done(),
};

/// A call in the name of an app, with a code or a refresh token.
struct LoginCall {
    appid: Option<String>,
    secret: Option<String>,
    grant_type: Option<String>,
    code: Option<String>,
    redeem: Redeem,
}

type Redeem = fn(&mut Model, Duration, IpAddr, &Claim<'_>, Option<&str>) -> Result<Answer, Refusal>;

impl Operation for LoginCall {
    fn appid<'a>(&'a self, _: &'a Model, _: Duration) -> Option<&'a str> {
        self.appid.as_deref()
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        let (appid, secret, grant_type) = (self.appid.as_deref(), self.secret.as_deref(), self.grant_type.as_deref());
        (self.redeem)(model, at.now, at.ip, &Claim { appid, secret, grant_type }, self.code.as_deref())
    }
}

/// A call with a user's own token.
struct UserCall {
    token: String,
    openid: Option<String>,
    answer: fn(&Login) -> Result<Answer, Refusal>,
}

impl Operation for UserCall {
    fn appid<'a>(&'a self, model: &'a Model, _: Duration) -> Option<&'a str> {
        model.user_token_owner(&self.token)
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        model.user(at.now, &self.token, self.openid.as_deref()).and_then(self.answer)
    }
}

fn login(request: &Request, code: &str, redeem: Redeem) -> Result<Box<dyn Operation>, Refusal> {
    only_get(request)?;
    let parameter = |name| request.parameter(name).map(str::to_owned);
    Ok(Box::new(LoginCall {
        appid: parameter("appid"),
        secret: parameter("secret"),
        grant_type: parameter("grant_type"),
        code: parameter(code),
        redeem,
    }))
}

fn with_user_token(
    request: &Request,
    answer: fn(&Login) -> Result<Answer, Refusal>,
) -> Result<Box<dyn Operation>, Refusal> {
    only_get(request)?;
    let openid = request.parameter("openid").map(str::to_owned);
    Ok(Box::new(UserCall { token: access_token(request)?, openid, answer }))
}

fn only_get(request: &Request) -> Result<(), Refusal> {
    if request.method == "GET" { Ok(()) } else { Err(Refusal::NotGet) }
}

fn session(session: Session) -> Answer {
    let Session { openid, session_key, unionid } = session;
    Answer::json(&SessionBody { session_key, openid, unionid })
}

fn user_token(grant: UserGrant) -> Answer {
    let UserGrant { access_token, left, refresh_token, login } = grant;
    let Login { openid, scope, unionid, .. } = login;
    Answer::json(&UserTokenBody { access_token, expires_in: left.as_secs(), refresh_token, openid, scope, unionid })
}

fn profile(login: &Login) -> Result<Answer, Refusal> {
    if login.scope == "snsapi_base" { Err(Refusal::Unauthorized) } else { Ok(Answer::json(&Profile::of(login))) }
}

#[derive(Serialize)]
struct SessionBody {
    session_key: String,
    openid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
}

#[derive(Serialize)]
struct UserTokenBody {
    access_token: String,
    expires_in: u64,
    refresh_token: String,
    openid: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
}

#[derive(Serialize)]
struct Profile<'a> {
    openid: &'a str,
    nickname: &'static str,
    sex: u8,
    language: &'static str,
    city: &'static str,
    province: &'static str,
    country: &'static str,
    headimgurl: &'static str,
    privilege: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<&'a str>,
}

impl<'a> Profile<'a> {
    /// WeChat has emptied all but the id, the name and the picture.
    fn of(login: &'a Login) -> Self {
        Self {
            openid: &login.openid,
            nickname: "微信用户",
            sex: 0,
            language: "",
            city: "",
            province: "",
            country: "",
            headimgurl: "https://thirdwx.qlogo.cn/mmopen/vi_32/simulated/132",
            privilege: [],
            unionid: login.unionid.as_deref(),
        }
    }
}
