//! Has a replica what was just written?
//!
//! A primary that is cut off from its replicas goes on confirming writes that the next primary will not have. So where the
//! server itself is told to take none without replicas (`min-replicas-to-write`), a write counts once a majority of the servers
//! has it. That setting alone does not do: it looks at what replicas said up to `min-replicas-max-lag` (10 s) ago, and a lease
//! (12 s) that was renewed then would outlive the 15 s after which another relay takes it.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{Cmd, Value, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::Instant};

/// For the replicas to confirm: the connection answers nothing else meanwhile.
const WAIT: Duration = Duration::from_millis(500);

/// How often the replicas are counted again.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// The writes of one connection, and up to where the replicas have confirmed them.
pub(super) struct Confirmation {
    /// How many have to. It only grows: a primary that is cut off sees fewer and fewer.
    replicas: AtomicU64,
    /// Writes that were answered.
    written: AtomicU64,
    /// Up to which write was asked last, and whether they are confirmed.
    latest: Mutex<Latest>,
}

struct Latest {
    write: u64,
    is_confirmed: bool,
    /// When the replicas were counted.
    counted: Instant,
}

impl Confirmation {
    /// `None` where a server of this `INFO` takes writes without replicas.
    pub(super) fn needed(info: &str) -> Option<Self> {
        field(info, "min_slaves_good_slaves")?;
        let replicas = AtomicU64::new(majority(info)?);
        let latest = Latest { write: 0, is_confirmed: false, counted: Instant::now() };
        Some(Self { replicas, written: AtomicU64::default(), latest: Mutex::new(latest) })
    }

    /// Whether everything is confirmed that was answered on this connection so far. Writes that are answered at the same time
    /// wait together.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub(super) async fn of_all(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<bool> {
        let mine = self.written.fetch_add(1, Ordering::SeqCst) + 1;
        let mut latest = self.latest.lock().await;
        if latest.write >= mine {
            return Ok(latest.is_confirmed);
        }
        if latest.counted.elapsed() >= COUNT_EVERY {
            latest.counted = Instant::now();
            self.count(connection).await?;
        }
        let all = self.written.load(Ordering::SeqCst);
        let replicas = self.replicas.load(Ordering::SeqCst);
        let mut wait = Cmd::new();
        wait.arg("WAIT").arg(replicas).arg(u64::try_from(WAIT.as_millis()).expect("it is short"));
        let is_confirmed = match connection.send_packed_command(&wait).await? {
            Value::Int(confirmed) => u64::try_from(confirmed).is_ok_and(|confirmed| confirmed >= replicas),
            Value::ServerError(refused) => return Err(refused.into()),
            _ => false,
        };
        (latest.write, latest.is_confirmed) = (all, is_confirmed);
        Ok(is_confirmed)
    }

    /// After a failover the replicas come one after the other.
    async fn count(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let replicas = replication(connection).await?.and_then(|info| majority(&info));
        self.replicas.fetch_max(replicas.unwrap_or(0), Ordering::SeqCst);
        Ok(())
    }
}

/// What the server tells of its replicas, if the user has the permission to ask.
///
/// # Errors
///
/// Those of the connection.
pub(super) async fn replication(connection: &mut MultiplexedConnection) -> redis::RedisResult<Option<String>> {
    match connection.send_packed_command(Cmd::new().arg("INFO").arg("replication")).await? {
        Value::BulkString(info) => Ok(Some(String::from_utf8_lossy(&info).into_owned())),
        _ => Ok(None),
    }
}

/// How many of the replicas in this `INFO` are a majority, with the primary. One whose connection was lost is counted twice by
/// `connected_slaves` for a minute, once it is back.
fn majority(info: &str) -> Option<u64> {
    field(info, "connected_slaves")?;
    let online =
        info.lines().filter(|line| line.starts_with("slave")).filter_map(|line| line.split_once(",state=online"));
    let replicas: BTreeSet<_> =
        online.filter_map(|(before, _)| before.split_once(':')).map(|(_, address)| address).collect();
    let replicas = u64::try_from(replicas.len()).unwrap_or(u64::MAX);
    Some(replicas.div_ceil(2).max(1))
}

/// A field of an `INFO`.
pub(super) fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_asked_of_a_server_that_takes_no_writes_without_replicas() {
        let needed = |info: &str| Confirmation::needed(info).map(|confirmation| confirmation.replicas.into_inner());
        assert_eq!(needed("role:master\r\nconnected_slaves:2\r\n"), None);
        for (connected, replicas) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
            let slave = |number| format!("slave{number}:ip=10.0.0.{number},port=6379,state=online,offset=14,lag=1\r\n");
            let slaves: String = (0..connected).map(slave).collect();
            let head = format!("role:master\r\nconnected_slaves:{connected}\r\nmin_slaves_good_slaves:0\r\n");
            assert_eq!(needed(&(head.clone() + &slaves)), Some(replicas), "{connected}");
            // one that is back, and another that is still being filled
            let back = "slave9:ip=10.0.0.0,port=6379,state=online,offset=0,lag=60\r\n";
            let filled = "slave8:ip=10.0.1.0,port=6379,state=wait_bgsave,offset=0,lag=0\r\n";
            let ghosts = if connected > 0 { [back, filled].concat() } else { filled.to_owned() };
            assert_eq!(needed(&(head + &slaves + &ghosts)), Some(replicas), "{connected}");
        }
    }
}
