//! What is put into a call: the account's current token, its AppSecret, or nothing?

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::{
    Gateway,
    decide::Credential,
    forward::Call,
    heal,
    target::{self, Place},
};
use crate::{credential::Generation, http::AppState, metrics::GatewayRefusal, registry::Handle, status::Offer};

/// What is put into a call.
#[derive(Default)]
pub(super) struct PutIn {
    /// Where in the query, and what.
    pub(super) value: Option<(Place, String)>,
    /// Which token it is.
    pub(super) token: Option<(Arc<Handle>, Generation)>,
}

impl PutIn {
    pub(super) fn token(handle: &Arc<Handle>, place: Place, offer: &Offer) -> Self {
        let value = Some((place, offer.token.expose().to_owned()));
        Self { value, token: Some((handle.clone(), offer.generation)) }
    }

    pub(super) async fn of(
        state: &AppState,
        gateway: &Gateway,
        credential: &Credential,
    ) -> Result<Self, GatewayRefusal> {
        match credential {
            Credential::Own(_) | Credential::User => Ok(Self::default()),
            Credential::Token { handle, place } => {
                let offer = heal::living(state, handle, state.timeouts().first_token).await;
                Ok(Self::token(handle, place.clone(), &offer.ok_or(GatewayRefusal::NoLivingToken)?))
            }
            Credential::AppSecret { account, place, was_appsecret } => {
                let secret = gateway.secrets.get(account).ok_or(GatewayRefusal::UnknownAppid)?;
                if *was_appsecret && let Some(handle) = state.registry.handles().access_token(account.as_str()) {
                    handle.metrics.appsecret_accepted();
                }
                let value = Some((Place::Value(place.clone()), secret.expose_secret().to_owned()));
                Ok(Self { value, token: None })
            }
        }
    }

    /// Puts it into the query that the client gave.
    pub(super) fn put(&self, given: Option<&str>, call: &mut Call) {
        call.query = match &self.value {
            Some((place, value)) => Some(target::with(given, place, value)),
            None => given.map(str::to_owned),
        };
        if let Some((_, value)) = &self.value {
            // In both forms: WeChat may give it back as it stood in the query.
            call.secrets.extend([value.clone(), target::escaped(value)]);
        }
    }
}
