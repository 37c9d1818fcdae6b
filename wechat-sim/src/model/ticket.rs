//! Which tickets of an app are alive? One of each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::lineage::Grant;
use super::{Model, Refusal, token_format};

/// The two kinds of ticket of `/cgi-bin/ticket/getticket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketKind {
    /// Signs pages that use the JS-SDK.
    Jsapi,
    /// Signs card coupons.
    WxCard,
}

/// The tickets of one kind: the current one, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    current: Option<Ticket>,
    pub(super) mints: u64,
}

/// The tickets of one app.
pub(super) type TicketsByKind = BTreeMap<TicketKind, Tickets>;

#[derive(Debug)]
struct Ticket {
    text: SecretString,
    expires: Duration,
}

impl Tickets {
    /// The current ticket, or a new one when it has ended. `left` is the whole life on repeats as well.
    pub(super) fn hold(&mut self, now: Duration, life: Duration, rng: &mut Rng) -> Grant {
        if self.current(now).is_none() {
            self.current = Some(Ticket { text: token_format::ticket(rng).into(), expires: now + life });
            self.mints += 1;
        }
        let text = self.current.iter().map(|ticket| ticket.text.expose_secret().to_owned()).collect();
        Grant { access_token: text, left: life }
    }

    /// How long this ticket works; `None` when it does not.
    pub(super) fn alive_for(&self, now: Duration, ticket: &str) -> Option<Duration> {
        let current = self.current(now).filter(|current| current.text.expose_secret() == ticket)?;
        Some(current.expires.saturating_sub(now))
    }

    fn current(&self, now: Duration) -> Option<&Ticket> {
        self.current.as_ref().filter(|ticket| now < ticket.expires)
    }

    /// Ends this ticket at once. `false`: it is not the current one.
    pub(super) fn revoke(&mut self, ticket: &str) -> bool {
        self.current.take_if(|current| current.text.expose_secret() == ticket).is_some()
    }
}

/// Tickets. They live on when the token that fetched them is rotated away.
impl Model {
    /// `GET /cgi-bin/ticket/getticket`: the same ticket for its whole life, always with the full life in the reply.
    pub fn ticket(&mut self, now: Duration, token: &str, kind: TicketKind) -> Result<Grant, Refusal> {
        let appid = self.check(now, token)?.to_owned();
        let app = self.apps.get_mut(&appid).ok_or(Refusal::UnknownAppid)?;
        Ok(app.tickets.entry(kind).or_default().hold(now, self.rules.ticket_life(), &mut self.rng))
    }

    /// How long the ticket works if nothing happens; `None` when it does not.
    pub fn ticket_alive_for(&self, now: Duration, ticket: &str) -> Option<Duration> {
        let mut tickets = self.apps.values().flat_map(|app| app.tickets.values());
        let of_app = tickets.find_map(|tickets| tickets.alive_for(now, ticket));
        of_app.or_else(|| self.wecom.ticket_alive_for(now, ticket))
    }

    /// Ends a ticket at once: the next call gets another one. `false`: no app, agent or corp has it.
    pub fn revoke_ticket(&mut self, ticket: &str) -> bool {
        let mut of_apps = self.apps.values_mut().flat_map(|app| app.tickets.values_mut());
        of_apps.any(|tickets| tickets.revoke(ticket)) || self.wecom.revoke_ticket(ticket)
    }

    /// How many tickets were minted so far; 0 for an unknown appid.
    pub fn ticket_mints(&self, appid: &str, kind: TicketKind) -> u64 {
        self.apps.get(appid).and_then(|app| app.tickets.get(&kind)).map_or(0, |tickets| tickets.mints)
    }

    /// A ticket that looks real and never worked.
    pub(crate) fn counterfeit_ticket(&mut self) -> Grant {
        Grant { access_token: token_format::ticket(&mut self.rng), left: self.rules.ticket_life() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Rules};

    const APP: &str = "wx0000000000000001";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn model(ticket_lifetime: u64) -> Model {
        let mut model = Model::new(Rules { ticket_lifetime: at(ticket_lifetime), ..Rules::default() }, 1);
        model.register(APP, "a secret");
        model
    }

    #[test]
    fn a_ticket_names_its_whole_life_until_another_one_takes_its_place() {
        let mut model = model(100);
        let token = model.mint(at(0), APP).unwrap().access_token;
        let mut ticket = |second| model.ticket(at(second), &token, TicketKind::Jsapi).unwrap();
        let first = ticket(0);
        assert_eq!(first.left, at(100));
        assert_eq!(ticket(99), first);
        let second = ticket(100);
        assert!(second.access_token != first.access_token && second.left == at(100));
        assert_eq!(model.ticket_alive_for(at(150), &second.access_token), Some(at(50)));
        assert_eq!(model.ticket_alive_for(at(150), &first.access_token), None);
        assert_eq!(model.ticket_mints(APP, TicketKind::Jsapi), 2);
    }

    #[test]
    fn a_ticket_outlives_the_token_that_fetched_it() {
        let mut model = model(7200);
        let token = model.mint(at(0), APP).unwrap().access_token;
        let ticket = model.ticket(at(0), &token, TicketKind::WxCard).unwrap().access_token;
        model.mint(at(1), APP);
        model.mint(at(2), APP);
        assert_eq!(model.ticket(at(2), &token, TicketKind::WxCard), Err(Refusal::NotLatestToken));
        assert_eq!(model.ticket_alive_for(at(2), &ticket), Some(at(7198)));
        let sticky = model.rotate(at(3), APP, Kind::Sticky).unwrap().access_token;
        assert_eq!(model.ticket(at(3), &sticky, TicketKind::WxCard).unwrap().access_token, ticket);
    }

    #[test]
    fn a_revoked_ticket_is_dead_and_the_next_call_gets_another() {
        let mut model = model(7200);
        let token = model.mint(at(0), APP).unwrap().access_token;
        let ticket = model.ticket(at(0), &token, TicketKind::Jsapi).unwrap().access_token;
        assert!(!model.revoke_ticket("no ticket"));
        assert!(model.revoke_ticket(&ticket) && !model.revoke_ticket(&ticket));
        assert_eq!(model.ticket_alive_for(at(0), &ticket), None);
        assert_ne!(model.ticket(at(0), &token, TicketKind::Jsapi).unwrap().access_token, ticket);
    }

    #[test]
    fn no_debug_output_shows_a_ticket() {
        let mut model = model(7200);
        let token = model.mint(at(0), APP).unwrap().access_token;
        let grant = model.ticket(at(0), &token, TicketKind::Jsapi).unwrap();
        assert!(!format!("{model:?} {grant:?}").contains(&grant.access_token));
    }
}
