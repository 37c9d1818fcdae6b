//! Who has logged in? The codes of mini programs and web pages, and the tokens of users (`/sns`).

use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::app::present;
use super::recent::Recent;
use super::{Claim, Model, Refusal, Rules, token_format};

/// Where a user logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginKind {
    /// `wx.login` in a mini program: the code is for `/sns/jscode2session`.
    MiniProgram,
    /// A page in a browser: the code is for `/sns/oauth2/access_token`.
    Web,
}

/// A user who has just agreed to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Where.
    pub kind: LoginKind,
    /// The user, as this app sees them.
    pub openid: String,
    /// The user, as all apps of one owner see them; not every app gets it.
    pub unionid: Option<String>,
    /// What a web page may ask: `snsapi_base` gives no profile, `snsapi_userinfo` does.
    pub scope: String,
}

/// The answer of `/sns/jscode2session`. No `Debug`: it holds a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub openid: String,
    /// Signs and encrypts what the mini program sends: 16 bytes in Base64.
    pub session_key: String,
    /// The user over all apps of one owner.
    pub unionid: Option<String>,
}

/// A user's own tokens, which are no access tokens of the app. No `Debug`: it holds tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct UserGrant {
    /// For `/sns/userinfo` and `/sns/auth`.
    pub access_token: String,
    /// The life left.
    pub left: Duration,
    /// For `/sns/oauth2/refresh_token`, for 30 days.
    pub refresh_token: String,
    /// Who logged in, and what they allowed.
    pub login: Login,
}

/// The codes and the users' tokens of all apps.
#[derive(Debug, Default)]
pub(super) struct Users {
    codes: Recent<Code>,
    /// By their refresh tokens, which stay.
    grants: Recent<Authorization>,
    /// Which refresh token belongs to an access token.
    access: Recent<String>,
}

struct Code {
    appid: String,
    login: Login,
    expires: Duration,
    used: bool,
}

struct Authorization {
    appid: String,
    login: Login,
    access_token: String,
    expires: Duration,
    refresh_ends: Duration,
}

const REFRESH_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Login {
    /// Into a mini program.
    pub fn mini_program(openid: impl Into<String>) -> Self {
        Self { kind: LoginKind::MiniProgram, openid: openid.into(), unionid: None, scope: String::new() }
    }

    /// Into a web page that may read the profile.
    pub fn web(openid: impl Into<String>) -> Self {
        Self { kind: LoginKind::Web, openid: openid.into(), unionid: None, scope: "snsapi_userinfo".into() }
    }
}

impl Users {
    /// Takes a code, once.
    fn redeem(&mut self, now: Duration, appid: &str, kind: LoginKind, code: &str) -> Result<Login, Refusal> {
        let fits = |code: &&mut Code| code.appid == appid && code.login.kind == kind && now < code.expires;
        let code = self.codes.find_mut(code).filter(fits).ok_or(Refusal::InvalidCode)?;
        if std::mem::replace(&mut code.used, true) { Err(Refusal::UsedCode) } else { Ok(code.login.clone()) }
    }

    /// The authorization of an access token, expired or not.
    fn of_access_token(&self, token: &str) -> Option<&Authorization> {
        let found = self.access.find(token).and_then(|refresh| self.grants.find(refresh))?;
        (found.access_token == token).then_some(found)
    }

    fn authorize(&mut self, now: Duration, appid: &str, login: Login, rules: &Rules, rng: &mut Rng) -> UserGrant {
        let [access_token, refresh_token] = [token_format::token(rng), token_format::token(rng)];
        self.access.insert(access_token.clone(), refresh_token.clone());
        let (expires, refresh_ends) = (now + rules.user_token_lifetime, now + REFRESH_LIFE);
        let authorization = Authorization { appid: appid.to_owned(), login, access_token, expires, refresh_ends };
        let grant = authorization.grant(now, &refresh_token);
        self.grants.insert(refresh_token, authorization);
        grant
    }
}

impl Authorization {
    fn grant(&self, now: Duration, refresh_token: &str) -> UserGrant {
        UserGrant {
            access_token: self.access_token.clone(),
            left: self.expires.saturating_sub(now),
            refresh_token: refresh_token.to_owned(),
            login: self.login.clone(),
        }
    }
}

/// Logins of users.
impl Model {
    /// A code as the user's device gets it, for one use within [`Rules::code_lifetime`]. `None`: unknown appid.
    pub fn login_code(&mut self, now: Duration, appid: &str, login: Login) -> Option<String> {
        let appid = self.apps.get_key_value(appid)?.0.clone();
        let code = token_format::code(&mut self.rng);
        let expires = now + self.rules.code_lifetime;
        self.users.codes.insert(code.clone(), Code { appid, login, expires, used: false });
        Some(code)
    }

    /// `GET /sns/jscode2session`: the user behind a mini program's code.
    pub fn session(
        &mut self,
        now: Duration,
        ip: IpAddr,
        claim: &Claim<'_>,
        code: Option<&str>,
    ) -> Result<Session, Refusal> {
        let login = self.redeem(now, ip, claim, LoginKind::MiniProgram, code)?.1;
        let session_key = token_format::session_key(&mut self.rng);
        Ok(Session { openid: login.openid, session_key, unionid: login.unionid })
    }

    /// `GET /sns/oauth2/access_token`: the tokens of the user behind a web page's code.
    pub fn user_token(
        &mut self,
        now: Duration,
        ip: IpAddr,
        claim: &Claim<'_>,
        code: Option<&str>,
    ) -> Result<UserGrant, Refusal> {
        let (appid, login) = self.redeem(now, ip, claim, LoginKind::Web, code)?;
        Ok(self.users.authorize(now, &appid, login, &self.rules, &mut self.rng))
    }

    fn redeem(
        &mut self,
        now: Duration,
        ip: IpAddr,
        claim: &Claim<'_>,
        kind: LoginKind,
        code: Option<&str>,
    ) -> Result<(String, Login), Refusal> {
        claim.authenticate(&mut self.apps, "authorization_code", ip)?;
        let appid = claim.appid.unwrap_or_default();
        let login = self.users.redeem(now, appid, kind, present(code).ok_or(Refusal::MissingCode)?)?;
        Ok((appid.to_owned(), login))
    }

    /// `GET /sns/oauth2/refresh_token`, for which the AppSecret is not needed: a living access token gets its whole life again,
    /// an expired one is replaced.
    pub fn refresh_user_token(
        &mut self,
        now: Duration,
        claim: &Claim<'_>,
        refresh_token: Option<&str>,
    ) -> Result<UserGrant, Refusal> {
        let appid = claim.registered(&mut self.apps, "refresh_token").map(|_| claim.appid.unwrap_or_default())?;
        let refresh_token = present(refresh_token).ok_or(Refusal::MissingRefreshToken)?;
        let found = self.users.grants.find_mut(refresh_token).filter(|found| found.appid == appid);
        let found = found.ok_or(Refusal::InvalidRefreshToken)?;
        if found.refresh_ends <= now {
            return Err(Refusal::ExpiredRefreshToken);
        }
        if found.expires <= now {
            found.access_token = token_format::token(&mut self.rng);
            self.users.access.insert(found.access_token.clone(), refresh_token.to_owned());
        }
        found.expires = now + self.rules.user_token_lifetime;
        Ok(found.grant(now, refresh_token))
    }

    /// The user of a user's token; access tokens of apps are refused (40001). `openid` must be that user's.
    pub fn user(&self, now: Duration, token: &str, openid: Option<&str>) -> Result<&Login, Refusal> {
        if token.is_empty() {
            return Err(Refusal::MissingToken);
        }
        let found = self.users.of_access_token(token).ok_or(Refusal::NotLatestToken)?;
        if found.expires <= now {
            return Err(Refusal::ExpiredToken);
        }
        let openid = present(openid).ok_or(Refusal::MissingOpenid)?;
        if openid == found.login.openid { Ok(&found.login) } else { Err(Refusal::InvalidOpenid) }
    }

    /// The app that a user's token was made for.
    pub(crate) fn user_token_owner(&self, token: &str) -> Option<&str> {
        self.users.of_access_token(token).map(|found| found.appid.as_str())
    }

    /// An openid that nobody has yet.
    pub(crate) fn new_openid(&mut self) -> String {
        token_format::openid(&mut self.rng)
    }

    /// A session that looks real and is nobody's.
    pub(crate) fn counterfeit_session(&mut self) -> Session {
        let session_key = token_format::session_key(&mut self.rng);
        Session { openid: self.new_openid(), session_key, unionid: None }
    }

    /// Tokens of a user that look real and never worked.
    pub(crate) fn counterfeit_user(&mut self) -> UserGrant {
        let [access_token, refresh_token] = [self.counterfeit(), self.counterfeit()];
        let login = Login::web(self.new_openid());
        UserGrant { access_token, left: self.rules.user_token_lifetime, refresh_token, login }
    }
}

#[cfg(test)]
mod tests;
