//! What does an SDK say in the query or the body of its request?

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use utoipa::ToSchema;

use super::described::GrantType;
use crate::{
    http::{
        auth::{Client, Clients},
        query,
    },
    metrics::Refusal,
};

/// What the token routes read; everything else that is said is ignored. Without `Debug`, for it holds a key.
#[derive(Default)]
pub(super) struct Parameters<'r> {
    pub(super) appid: Parameter<'r>,
    pub(super) secret: Parameter<'r>,
    pub(super) grant_type: Parameter<'r>,
    pub(super) force_refresh: bool,
}

/// One parameter.
#[derive(Default)]
pub(in crate::http) enum Parameter<'r> {
    #[default]
    Missing,
    Given(Cow<'r, str>),
    /// Given more than once, or by an escape that cannot be read.
    Unusable,
}

impl<'r> Parameter<'r> {
    /// The one called `wanted`. What cannot be decoded makes only its own parameter unusable.
    pub(in crate::http) fn of_query(query: Option<&'r str>, wanted: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in query.into_iter().flat_map(query::pairs) {
            if query::decode(name).is_some_and(|name| name == wanted) {
                found.add(query::decode(value));
            }
        }
        found
    }

    fn add(&mut self, value: Option<Cow<'r, str>>) {
        *self = match (&self, value) {
            (Self::Missing, Some(value)) => Self::Given(value),
            _ => Self::Unusable,
        };
    }

    /// Its text. WeChat takes an empty one for a missing one.
    pub(in crate::http) fn text(&self, missing: Refusal, unusable: Refusal) -> Result<&str, Refusal> {
        match self {
            Self::Given(text) if !text.is_empty() => Ok(text),
            Self::Given(_) | Self::Missing => Err(missing),
            Self::Unusable => Err(unusable),
        }
    }
}

impl From<Option<String>> for Parameter<'_> {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Missing, |text| Self::Given(text.into()))
    }
}

/// The members of a body. A repeated one, and one of another type, is an error of the whole.
#[derive(Deserialize, ToSchema)]
#[schema(as = StableTokenRequest, description = "Further members are ignored.")]
pub(super) struct Members {
    /// Of the account.
    #[schema(value_type = String, required = true, min_length = 1, example = "wx0123456789abcdef")]
    appid: Option<String>,
    /// The relay key, in letters, digits, `_` and `-`.
    #[schema(value_type = String, required = true, pattern = "^[0-9A-Za-z_-]+$")]
    secret: Option<String>,
    #[schema(value_type = GrantType, inline, required = true)]
    grant_type: Option<String>,
    /// A report of the current token, and no more.
    #[serde(default)]
    force_refresh: bool,
}

impl<'r> Parameters<'r> {
    /// The client whose key stands as the secret.
    pub(super) fn client<'c>(&self, clients: &'c Clients) -> Option<&'c Arc<Client>> {
        let secret = self.secret.text(Refusal::NoSecret, Refusal::WrongKey).ok()?;
        clients.by_secret(secret).1
    }

    /// Of `/cgi-bin/token`.
    pub(super) fn of_query(query: Option<&'r str>) -> Self {
        Self::of_names(query, "appid", "secret")
    }

    /// Of WeCom's `/cgi-bin/gettoken`, which has other names for the same.
    pub(super) fn of_corp_query(query: Option<&'r str>) -> Self {
        Self::of_names(query, "corpid", "corpsecret")
    }

    fn of_names(query: Option<&'r str>, appid: &str, secret: &str) -> Self {
        let [appid, secret, grant_type] = [appid, secret, "grant_type"].map(|name| Parameter::of_query(query, name));
        Self { appid, secret, grant_type, force_refresh: false }
    }

    /// Of `/cgi-bin/stable_token`. Its Content-Type is ignored, as WeChat does.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refusal> {
        // serde would take an array for a struct too, and bytes that are not UTF-8 in what it ignores.
        let text = std::str::from_utf8(body).ok().filter(|text| text.trim_ascii_start().starts_with('{'));
        let members: Members = text.and_then(|text| serde_json::from_str(text).ok()).ok_or(Refusal::BadBody)?;
        Ok(Self {
            appid: members.appid.into(),
            secret: members.secret.into(),
            grant_type: members.grant_type.into(),
            force_refresh: members.force_refresh,
        })
    }
}
