//! What would WeCom answer? Corps, their agents (apps), the agents' tokens and tickets, and who is banned.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::app::present;
use super::lineage::TokenStatus;
use super::ticket::Tickets;
use super::usage::Window;
use super::{Grant, Model, Refusal, Rules, token_format};
use agent_token::AgentToken;
use bans::Bans;

mod agent_token;
mod bans;

/// All that WeCom knows.
#[derive(Debug, Default)]
pub(super) struct Wecom {
    /// By corpid.
    corps: BTreeMap<String, Corp>,
    bans: Bans,
}

#[derive(Debug, Default)]
struct Corp {
    /// By name.
    agents: BTreeMap<String, Agent>,
    /// For pages: one for all agents.
    ticket: MeteredTickets,
}

#[derive(Debug)]
struct Agent {
    /// `CORPID/AGENT`.
    label: String,
    secret: SecretString,
    token: AgentToken,
    /// For pages that act as this agent.
    ticket: MeteredTickets,
    /// Calls for the corp's ticket.
    corp_ticket_calls: Window,
}

#[derive(Debug, Default)]
struct MeteredTickets {
    tickets: Tickets,
    calls: Window,
}

/// The two kinds of ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WecomTicket {
    /// `/cgi-bin/get_jsapi_ticket`: the corp's.
    Corp,
    /// `/cgi-bin/ticket/get?type=agent_config`: the agent's.
    Agent,
}

const HOUR: Duration = Duration::from_secs(3600);

impl Wecom {
    fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.corps.values().flat_map(|corp| corp.agents.values())
    }

    fn agent(&self, label: &str) -> Option<&Agent> {
        let (corpid, name) = label.split_once('/')?;
        self.corps.get(corpid)?.agents.get(name)
    }

    fn agent_mut(&mut self, label: &str) -> Option<&mut Agent> {
        let (corpid, name) = label.split_once('/')?;
        self.corps.get_mut(corpid)?.agents.get_mut(name)
    }

    fn tickets(&self) -> impl Iterator<Item = &Tickets> {
        let of_agents = self.agents().map(|agent| &agent.ticket.tickets);
        self.corps.values().map(|corp| &corp.ticket.tickets).chain(of_agents)
    }

    /// The agent of a token, and the token's state.
    pub(super) fn status(&self, now: Duration, token: &str) -> Option<(&str, TokenStatus)> {
        self.agents().find_map(|agent| Some((agent.label.as_str(), agent.token.status(now, token)?)))
    }

    pub(super) fn revoke(&mut self, token: &str) -> bool {
        let mut agents = self.corps.values_mut().flat_map(|corp| corp.agents.values_mut());
        agents.any(|agent| agent.token.revoke(token))
    }

    pub(super) fn ticket_alive_for(&self, now: Duration, ticket: &str) -> Option<Duration> {
        self.tickets().find_map(|tickets| tickets.alive_for(now, ticket))
    }

    pub(super) fn revoke_ticket(&mut self, ticket: &str) -> bool {
        self.corps.values_mut().any(|corp| {
            let mut of_agents = corp.agents.values_mut().map(|agent| &mut agent.ticket.tickets);
            corp.ticket.tickets.revoke(ticket) || of_agents.any(|tickets| tickets.revoke(ticket))
        })
    }

    /// How many tokens and tickets were minted.
    pub(super) fn mints(&self) -> u64 {
        self.agents().map(|agent| agent.token.mints).chain(self.tickets().map(|tickets| tickets.mints)).sum()
    }
}

impl MeteredTickets {
    fn charge(calls: &mut Window, now: Duration, most: u32) -> Result<(), Refusal> {
        if calls.spent(now, HOUR) >= most {
            return Err(Refusal::TooManyCalls);
        }
        calls.add(now, HOUR);
        Ok(())
    }
}

impl Rules {
    /// The life of an agent's token, at least a second.
    fn wecom_life(&self) -> Duration {
        self.wecom_lifetime.max(Duration::from_secs(1))
    }
}

/// WeCom. An agent is named by its label, `CORPID/AGENT`.
impl Model {
    /// Adds an agent to a corp, or gives it another secret: its token lives on.
    pub fn register_agent(&mut self, corpid: &str, name: &str, secret: &str) {
        let label = format!("{corpid}/{name}");
        let agent = || Agent {
            label,
            secret: SecretString::default(),
            token: AgentToken::default(),
            ticket: MeteredTickets::default(),
            corp_ticket_calls: Window::default(),
        };
        let corp = self.wecom.corps.entry(corpid.to_owned()).or_default();
        corp.agents.entry(name.to_owned()).or_insert_with(agent).secret = secret.into();
    }

    /// The labels of all agents, in order.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        self.wecom.agents().map(|agent| agent.label.as_str())
    }

    /// `GET /cgi-bin/gettoken`: the same token while it lives, always with its whole life in the reply.
    pub fn agent_token(
        &mut self,
        now: Duration,
        ip: IpAddr,
        corpid: Option<&str>,
        secret: Option<&str>,
    ) -> Result<Grant, Refusal> {
        self.wecom.bans.check(now, ip)?;
        let corp = present(corpid).ok_or(Refusal::MissingCorpid)?;
        let corp = self.wecom.corps.get_mut(corp).ok_or(Refusal::UnknownCorpid)?;
        let secret = present(secret).ok_or(Refusal::MissingCorpSecret)?;
        let Some(agent) = corp.agents.values_mut().find(|agent| agent.secret.expose_secret() == secret) else {
            self.wecom.bans.count(now, ip, &self.rules);
            return Err(Refusal::WrongCorpSecret);
        };
        Ok(agent.token.hold(now, self.rules.wecom_life(), &mut self.rng))
    }

    /// The agent of this corp and secret.
    pub fn agent_of_secret(&self, corpid: &str, secret: &str) -> Option<&str> {
        let mut agents = self.wecom.corps.get(corpid)?.agents.values();
        agents.find(|agent| agent.secret.expose_secret() == secret).map(|agent| agent.label.as_str())
    }

    /// The token check of WeCom's other APIs: the agent's label, or why the token is refused.
    pub fn check_agent(&self, now: Duration, token: &str) -> Result<&str, Refusal> {
        match self.wecom.status(now, token) {
            _ if token.is_empty() => Err(Refusal::MissingToken),
            Some((label, TokenStatus::Alive(_))) => Ok(label),
            Some((_, TokenStatus::Expired)) => Err(Refusal::ExpiredToken),
            Some((_, TokenStatus::Dead)) | None => Err(Refusal::MalformedToken),
        }
    }

    /// A ticket for an agent's token: the same one for its whole life, always with the full life in the reply.
    pub fn wecom_ticket(&mut self, now: Duration, token: &str, kind: WecomTicket) -> Result<Grant, Refusal> {
        let label = self.check_agent(now, token)?.to_owned();
        let (per_corp, per_agent) = (self.rules.wecom_corp_tickets_per_hour, self.rules.wecom_agent_tickets_per_hour);
        let life = self.rules.ticket_life();
        let (corpid, name) = label.split_once('/').ok_or(Refusal::MalformedToken)?;
        let corp = self.wecom.corps.get_mut(corpid).ok_or(Refusal::UnknownCorpid)?;
        let agent = corp.agents.get_mut(name).ok_or(Refusal::MalformedToken)?;
        let tickets = match kind {
            WecomTicket::Corp => {
                MeteredTickets::charge(&mut agent.corp_ticket_calls, now, per_agent)?;
                MeteredTickets::charge(&mut corp.ticket.calls, now, per_corp)?;
                &mut corp.ticket.tickets
            }
            WecomTicket::Agent => {
                MeteredTickets::charge(&mut agent.ticket.calls, now, per_agent)?;
                &mut agent.ticket.tickets
            }
        };
        Ok(tickets.hold(now, life, &mut self.rng))
    }

    /// The agent's token that works.
    pub fn living_agent(&self, now: Duration, label: &str) -> Option<Grant> {
        self.wecom.agent(label)?.token.living(now)
    }

    /// Ends an agent's token before its time, as WeCom may: the next call gets another one. `false`: no agent, or no token.
    pub fn revoke_agent(&mut self, now: Duration, label: &str) -> bool {
        let Some(living) = self.living_agent(now, label) else { return false };
        self.wecom.agent_mut(label).is_some_and(|agent| agent.token.revoke(&living.access_token))
    }

    /// How many tokens this agent was given; 0 for an unknown one.
    pub fn agent_mints(&self, label: &str) -> u64 {
        self.wecom.agent(label).map_or(0, |agent| agent.token.mints)
    }

    /// For how long this caller is refused, because of wrong secrets.
    pub fn banned_for(&self, now: Duration, ip: IpAddr) -> Option<Duration> {
        self.wecom.bans.left(now, ip)
    }

    /// How many wrong secrets came from where within the last hour, or since the ban before it ended.
    pub fn wrong_secrets(&self, now: Duration) -> BTreeMap<IpAddr, u32> {
        self.wecom.bans.counts(now, &self.rules)
    }

    /// Ends all bans and forgets the wrong secrets.
    pub fn lift_bans(&mut self) {
        self.wecom.bans = Bans::default();
    }

    /// A token of WeCom's that looks real and never worked.
    pub(crate) fn counterfeit_agent_token(&mut self) -> Grant {
        Grant { access_token: token_format::wecom_token(&mut self.rng), left: self.rules.wecom_life() }
    }

    /// A hint for an error text.
    pub(crate) fn hint(&mut self, unix_s: u64) -> String {
        token_format::hint(unix_s, &mut self.rng)
    }
}

#[cfg(test)]
mod tests;
