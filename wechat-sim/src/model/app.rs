//! Who may call in the name of an app?

use std::collections::BTreeMap;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};

use super::lineage::Lineage;
use super::ticket::TicketsByKind;
use super::{IpRange, Kind, Refusal};

/// What a caller of a token endpoint claims to be; `None` is a parameter left out.
#[derive(Clone, Copy, Default)]
pub struct Claim<'a> {
    /// Must be a registered app.
    pub appid: Option<&'a str>,
    /// Must be that app's AppSecret.
    pub secret: Option<&'a str>,
    /// `client_credential` at a token endpoint, `authorization_code` for a login.
    pub grant_type: Option<&'a str>,
}

/// One registered app.
#[derive(Debug, Default)]
pub(super) struct App {
    secret: SecretString,
    /// The AppSecret before the last reset.
    previous_secret: Option<SecretString>,
    pub(super) frozen: bool,
    pub(super) whitelist: Option<Vec<IpRange>>,
    pub(super) rotating: Lineage,
    pub(super) sticky: Lineage,
    pub(super) tickets: TicketsByKind,
}

impl Claim<'_> {
    /// Finds the app that the caller may act for. The appid is checked before the grant type, as was seen; nobody has published
    /// the order of the rest.
    pub(super) fn authenticate<'m>(
        &self,
        apps: &'m mut BTreeMap<String, App>,
        grant_type: &str,
        ip: IpAddr,
    ) -> Result<&'m mut App, Refusal> {
        let app = self.registered(apps, grant_type)?;
        let secret = present(self.secret).ok_or(Refusal::MissingSecret)?;
        app.authorize(secret, ip)?;
        Ok(app)
    }

    /// The app that is named, for calls that need no AppSecret.
    pub(super) fn registered<'m>(
        &self,
        apps: &'m mut BTreeMap<String, App>,
        grant_type: &str,
    ) -> Result<&'m mut App, Refusal> {
        let appid = present(self.appid).ok_or(Refusal::MissingAppid)?;
        let app = apps.get_mut(appid).ok_or(Refusal::UnknownAppid)?;
        if self.grant_type == Some(grant_type) { Ok(app) } else { Err(Refusal::WrongGrantType) }
    }
}

/// A parameter that is given and not empty.
pub(super) fn present(parameter: Option<&str>) -> Option<&str> {
    parameter.filter(|text| !text.is_empty())
}

impl App {
    pub(super) fn reset_secret(&mut self, secret: &str) {
        let known = !self.secret.expose_secret().is_empty();
        self.previous_secret = Some(std::mem::replace(&mut self.secret, SecretString::from(secret))).filter(|_| known);
    }

    pub(super) fn lineage(&self, kind: Kind) -> &Lineage {
        match kind {
            Kind::Rotating => &self.rotating,
            Kind::Sticky => &self.sticky,
        }
    }

    pub(super) fn lineage_mut(&mut self, kind: Kind) -> &mut Lineage {
        match kind {
            Kind::Rotating => &mut self.rotating,
            Kind::Sticky => &mut self.sticky,
        }
    }

    fn authorize(&self, secret: &str, ip: IpAddr) -> Result<(), Refusal> {
        if secret != self.secret.expose_secret() {
            let reset =
                self.previous_secret.as_ref().is_some_and(|previous_secret| secret == previous_secret.expose_secret());
            return Err(if reset { Refusal::ResetSecret } else { Refusal::WrongSecret });
        }
        if self.frozen {
            return Err(Refusal::FrozenSecret);
        }
        match &self.whitelist {
            Some(ranges) if !ranges.iter().any(|range| range.contains(ip)) => Err(Refusal::ForeignIp(ip)),
            _ => Ok(()),
        }
    }
}
