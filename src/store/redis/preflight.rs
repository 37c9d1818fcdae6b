//! May this server lose a record by its configuration? Checked once, on the first connection that answers, and again at each
//! server that takes its place.

use redis::{Cmd, Value};
use tracing::{debug, warn};

use super::{
    address::{Address, Kind},
    confirmation::field,
    connection::Connection,
};

/// Warns of what the operator should change. Without the permission for `INFO` nothing is logged but at DEBUG.
pub(super) async fn check(connection: &Connection) {
    let mut servers = connection.servers();
    let mut checked: Vec<String> = Vec::new();
    loop {
        let is_new = |server: &Option<Address>| {
            server.as_ref().is_some_and(|server| !checked.iter().any(|one| one == server.shown()))
        };
        let Ok(server) = servers.wait_for(is_new).await.map(|server| server.clone()) else { return };
        let Some(server) = server else { continue };
        match connection.send(Cmd::new().arg("INFO")).await {
            Ok(Value::BulkString(info)) => {
                for finding in findings(&String::from_utf8_lossy(&info), server.kind()) {
                    warn!(server = server.shown(), "{finding}");
                }
            }
            Ok(_) => {}
            Err(error) => {
                debug!(%error, "Redis's configuration was not checked");
                // at the next connection, or never where the permission is missing
                if servers.changed().await.is_err() {
                    return;
                }
                continue;
            }
        }
        checked.push(server.shown().to_owned());
    }
}

/// What is wrong with a server of this `INFO`.
fn findings(info: &str, kind: Kind) -> Vec<String> {
    let field = |name: &str| field(info, name);
    let mut findings = Vec::new();
    let policy = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys"));
    // Without a limit nothing is evicted. Records have no TTL, so a volatile-* policy takes none.
    if let Some(policy) = policy.filter(|_| field("maxmemory") != Some("0")) {
        findings.push(format!(
            "Redis may evict a record: its maxmemory-policy is {policy}; use noeviction or one of the volatile-* policies"
        ));
    }
    if kind == Kind::Server && matches!(field("role"), Some("slave" | "replica")) {
        findings.push("Redis is a read-only replica: state.url must name the primary".to_owned());
    }
    if kind == Kind::Server && field("cluster_enabled") == Some("1") {
        findings
            .push("Redis is a node of a Redis Cluster: state.url must begin with redis+cluster:// for one".to_owned());
    }
    if kind.is_found() && field("min_slaves_good_slaves").is_none() {
        findings.push(
            "a failover may lose what Redis has confirmed, and a primary that is cut off goes on: set its min-replicas-to-write (docs/CLUSTER.md)"
                .to_owned(),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicting_policy_a_replica_and_a_cluster_are_found_and_nothing_else() {
        let found = |info: &str| findings(info, Kind::Server).len();
        assert_eq!(found(""), 0);
        assert_eq!(found("role:master\r\nmaxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n"), 0);
        assert_eq!(found("maxmemory:1048576\r\nmaxmemory_policy:volatile-lru\r\n"), 0);
        assert_eq!(found("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), 0);
        assert_eq!(found("maxmemory:1048576\r\nmaxmemory_policy:allkeys-lru\r\n"), 1);
        assert_eq!(found("maxmemory_policy:allkeys-random\r\nrole:slave\r\ncluster_enabled:1\r\n"), 3);
    }

    #[test]
    fn where_another_primary_may_follow_writes_without_replicas_are_found() {
        for kind in [Kind::Primary, Kind::Node] {
            assert_eq!(findings("role:master\r\ncluster_enabled:1\r\n", kind).len(), 1);
            assert_eq!(findings("role:master\r\nmin_slaves_good_slaves:1\r\n", kind), Vec::<String>::new());
        }
    }
}
