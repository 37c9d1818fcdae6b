//! Which server has the relays' keys now?
//!
//! Asked at each connect, of what `state.url` names: one server is the answer itself, a sentinel names the primary, a node of a
//! cluster answers for a key or names the node that does. What is named is asked too: a sentinel may be behind the times, or wrong.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use redis::{Cmd, ServerError, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    CONNECT_LIMIT,
    address::{Address, Kind},
    availability::{self, Availability},
    errors,
    servers::Servers,
    session::Session,
};

/// How many of the servers of `state.url` are asked in one search. The next search goes on behind them.
const MOST_STARTS: usize = 3;

/// From node to node, or from a sentinel to the primary. While a cluster changes, two nodes may name each other.
const MOST_HOPS: usize = 3;

/// A connection that has answered, to the server with the keys.
pub(super) struct Located {
    pub(super) address: Address,
    pub(super) connection: MultiplexedConnection,
}

/// Finds the server with the keys.
pub(super) struct Locator {
    servers: ArcSwap<Servers>,
    shown: String,
    /// One of the keys: in a cluster it decides the node.
    key: String,
    /// Where the next search begins: at the server that led to the primary last.
    first: AtomicUsize,
    starts: Vec<Availability>,
}

/// What a server answers.
enum Answer {
    /// It has the keys.
    Here,
    /// Another one has them.
    There(String, u16),
}

impl Locator {
    pub(super) fn new(servers: Servers, key: String) -> Self {
        let starts = servers.starts.iter().map(|_| Availability::of(availability::START)).collect();
        let (shown, first) = (servers.shown().to_owned(), AtomicUsize::default());
        Self { servers: ArcSwap::from_pointee(servers), shown, key, first, starts }
    }

    /// Takes the logins of `servers` from the next connect on. `false`, and nothing changes, where these are other servers.
    pub(super) fn log_in_as(&self, servers: Servers) -> bool {
        let are_the_same = servers.are_those_of(&self.servers.load());
        if are_the_same {
            self.servers.store(Arc::new(servers));
        }
        are_the_same
    }

    /// The same server, with the login of now.
    pub(super) fn again(&self, address: &Address) -> Address {
        self.servers.load().found(&address.host, address.port).unwrap_or_else(|| address.clone())
    }

    /// Scheme, hosts and ports of `state.url`.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Why there is no connection: no answer within [`CONNECT_LIMIT`].
    pub(super) fn no_answer(&self) -> String {
        errors::no_answer(&self.servers.load().starts[0], CONNECT_LIMIT)
    }

    /// Searches. It takes about [`CONNECT_LIMIT`] at most where `state.url` has several servers; else it has no limit.
    ///
    /// # Errors
    ///
    /// Why no server of `state.url` leads to the keys, in one line.
    pub(super) async fn locate(&self) -> Result<Located, String> {
        let servers = self.servers.load_full();
        let starts = &servers.starts;
        if let [only] = &starts[..] {
            return self.follow(&servers, only).await;
        }
        let (first, tries) = (self.first.load(Ordering::Relaxed), starts.len().min(MOST_STARTS));
        let limit = CONNECT_LIMIT.mul_f64(0.9) / u32::try_from(tries).expect("a few");
        let mut failed = Vec::new();
        for index in (first..first + tries).map(|index| index % starts.len()) {
            let start = &starts[index];
            let followed = timeout(limit, self.follow(&servers, start)).await;
            match followed.unwrap_or_else(|_| Err(errors::no_answer(start, limit))) {
                Ok(located) => {
                    self.first.store(index, Ordering::Relaxed);
                    self.log(starts, index, &failed);
                    return Ok(located);
                }
                Err(reason) => failed.push((index, reason)),
            }
        }
        self.first.store((first + tries) % starts.len(), Ordering::Relaxed);
        Err(in_one_line(starts, &failed))
    }

    /// Where none leads to the keys, that is logged as one outage; else those that do not are logged one by one.
    fn log(&self, starts: &[Address], index: usize, failed: &[(usize, String)]) {
        for (failed, reason) in failed {
            self.starts[*failed].failed(starts[*failed].shown(), reason);
        }
        self.starts[index].answered(starts[index].shown());
    }

    /// Goes where this server leads.
    async fn follow(&self, servers: &Servers, start: &Address) -> Result<Located, String> {
        let mut address = start.clone();
        let mut way = String::new();
        for _ in 0..MOST_HOPS {
            let asked = self.ask(servers, &address).await;
            let (answer, connection) = asked.map_err(|reason| format!("{way}{reason}"))?;
            match answer {
                Answer::Here => return Ok(Located { address, connection }),
                Answer::There(host, port) => {
                    // in a cluster no host stands for the one that was asked
                    let host = if host.is_empty() { &*address.host } else { &host };
                    let named = servers.found(host, port);
                    address = named.ok_or_else(|| format!("{way}it names no server that can be one"))?;
                    way = format!("it names {}: ", address.shown());
                }
            }
        }
        Err(format!("{way}it sends the relay elsewhere too"))
    }

    async fn ask(&self, servers: &Servers, address: &Address) -> Result<(Answer, MultiplexedConnection), String> {
        let mut session = Session::open(address).await?;
        let answer = match address.kind() {
            Kind::Server => session.ask(Cmd::new().arg("PING")).await.map(|_| Answer::Here),
            Kind::Sentinel => {
                let mut question = Cmd::new();
                question.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&servers.master);
                named_by_sentinel(&session.ask(&question).await?, &servers.master)
            }
            Kind::Primary => is_primary(&session.ask(Cmd::new().arg("ROLE")).await?),
            Kind::Node => match session.try_ask(Cmd::new().arg("HMGET").arg(&self.key).arg("nonce")).await? {
                Err(refused) => moved(&refused).ok_or_else(|| errors::refusal(address, &refused)),
                Ok(_) => Ok(Answer::Here),
            },
        };
        Ok((answer?, session.into_connection()))
    }
}

fn in_one_line(starts: &[Address], failed: &[(usize, String)]) -> String {
    let mut reasons: Vec<(String, &str)> = Vec::new();
    for (index, reason) in failed {
        let shown = starts[*index].shown();
        match reasons.iter_mut().find(|(_, other)| other == reason) {
            Some((servers, _)) => *servers = format!("{servers}, {shown}"),
            None => reasons.push((shown.to_owned(), reason)),
        }
    }
    let reasons: Vec<String> = reasons.iter().map(|(servers, reason)| format!("{servers}: {reason}")).collect();
    reasons.join("; ")
}

fn named_by_sentinel(reply: &Value, master: &str) -> Result<Answer, String> {
    let named = match reply {
        Value::Nil => return Err(format!("it knows no primary of the name {master}, which state.url has")),
        Value::Array(named) => match &named[..] {
            [host, port] => text(host).zip(text(port).and_then(|port| port.parse().ok())),
            _ => None,
        },
        _ => None,
    };
    let (host, port) = named.ok_or("its reply to SENTINEL is not one that a sentinel gives")?;
    if host.is_empty() {
        return Err("it names no server that can be one".to_owned());
    }
    Ok(Answer::There(host.to_owned(), port))
}

fn is_primary(reply: &Value) -> Result<Answer, String> {
    let Value::Array(role) = reply else { return Err("its reply to ROLE is not one that Redis gives".to_owned()) };
    match role.first().and_then(text) {
        Some("master") => Ok(Answer::Here),
        Some("slave") => Err("it is a replica".to_owned()),
        _ => Err("it is no primary".to_owned()),
    }
}

/// `MOVED SLOT HOST:PORT`
fn moved(refused: &ServerError) -> Option<Answer> {
    let to = refused.details().filter(|_| refused.code() == "MOVED")?.split(' ').next_back()?;
    let (host, port) = to.rsplit_once(':')?;
    Some(Answer::There(host.to_owned(), port.parse().ok()?))
}

fn text(value: &Value) -> Option<&str> {
    let Value::BulkString(bytes) = value else { return None };
    std::str::from_utf8(bytes).ok()
}
