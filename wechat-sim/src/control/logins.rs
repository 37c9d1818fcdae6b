//! How does a test get codes for logins?

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, appid_of};
use crate::model::{Login, LoginKind};
use crate::shared::State;

/// A user who logs in, so many times.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logins {
    appid: Option<String>,
    #[serde(default = "mini_program")]
    kind: LoginKind,
    /// Another user for each command when left out.
    openid: Option<String>,
    unionid: Option<String>,
    scope: Option<String>,
    #[serde(default = "one")]
    count: u16,
}

fn mini_program() -> LoginKind {
    LoginKind::MiniProgram
}

fn one() -> u16 {
    1
}

pub(super) fn codes(state: &mut State, now: Duration, logins: Logins) -> Result<Value, ControlError> {
    let appid = appid_of(state, logins.appid.as_deref())?;
    let openid = logins.openid.unwrap_or_else(|| state.model.new_openid());
    let of_kind = match logins.kind {
        LoginKind::MiniProgram => Login::mini_program(openid),
        LoginKind::Web => Login::web(openid),
    };
    let login = Login { unionid: logins.unionid, scope: logins.scope.unwrap_or(of_kind.scope), ..of_kind };
    let codes: Vec<_> = (0..logins.count).filter_map(|_| state.model.login_code(now, &appid, login.clone())).collect();
    Ok(json!({"openid": login.openid, "codes": codes}))
}
