//! May this server lose a record by its configuration? Checked once, on the first connection that answers.

use redis::{Cmd, Value};
use tracing::{debug, warn};

use super::connection::Connection;

/// Warns of what the operator should change. Without the permission for `INFO` nothing is logged but at DEBUG.
pub(super) async fn check(connection: &Connection) {
    loop {
        connection.connected.notified().await;
        match connection.send(Cmd::new().arg("INFO")).await {
            Ok(Value::BulkString(info)) => {
                let info = String::from_utf8_lossy(&info);
                for finding in findings(&info) {
                    warn!(server = connection.server(), "{finding}");
                }
                return;
            }
            Ok(_) => return,
            Err(error) => debug!(%error, "Redis's configuration was not checked"),
        }
    }
}

/// What is wrong with a server of this `INFO`.
fn findings(info: &str) -> Vec<String> {
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    };
    let mut findings = Vec::new();
    let policy = field("maxmemory_policy").filter(|policy| policy.starts_with("allkeys"));
    // Without a limit nothing is evicted. Records have no TTL, so a volatile-* policy takes none.
    if let Some(policy) = policy.filter(|_| field("maxmemory") != Some("0")) {
        findings.push(format!(
            "Redis may evict a record: its maxmemory-policy is {policy}; use noeviction or one of the volatile-* policies"
        ));
    }
    if matches!(field("role"), Some("slave" | "replica")) {
        findings.push("Redis is a read-only replica: state.url must name the primary".to_owned());
    }
    if field("cluster_enabled") == Some("1") {
        findings.push("Redis is a node of a Redis Cluster, which is not supported: use a single server".to_owned());
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicting_policy_a_replica_and_a_cluster_are_found_and_nothing_else() {
        let found = |info: &str| findings(info).len();
        assert_eq!(found(""), 0);
        assert_eq!(found("role:master\r\nmaxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n"), 0);
        assert_eq!(found("maxmemory:1048576\r\nmaxmemory_policy:volatile-lru\r\n"), 0);
        assert_eq!(found("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"), 0);
        assert_eq!(found("maxmemory:1048576\r\nmaxmemory_policy:allkeys-lru\r\n"), 1);
        assert_eq!(found("maxmemory_policy:allkeys-random\r\nrole:slave\r\ncluster_enabled:1\r\n"), 3);
    }
}
