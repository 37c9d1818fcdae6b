//! How does a test get several Redis servers that replace one another: a primary watched by sentinels, or a Redis Cluster?

use redis::Value;

use crate::{
    redis_server::{CLUSTER_ENABLED, RedisServer},
    wait::eventually,
};

/// What the sentinels call the primary.
pub const MASTER: &str = "mymaster";

/// How long a server must be silent before it counts as lost; Redis suggests half a minute.
const LOST_AFTER_MS: &str = "1000";

/// One primary, its replicas, and three sentinels, two of which must agree.
#[derive(Debug)]
pub struct SentinelGroup {
    /// The first one begins as the primary.
    pub servers: Vec<RedisServer>,
    /// Those that watch them.
    pub sentinels: Vec<RedisServer>,
}

impl SentinelGroup {
    /// Servers with more arguments, sentinels with more lines.
    pub async fn start(replicas: usize, arguments: &[&str], lines: &str) -> Self {
        let primary = RedisServer::with(arguments);
        let at = primary.port.to_string();
        let mut servers = vec![primary];
        for _ in 0..replicas {
            servers.push(RedisServer::with(
                &[&["--replicaof", "127.0.0.1", &at, "--repl-diskless-sync-delay", "0"], arguments].concat(),
            ));
        }
        let config = format!(
            "sentinel monitor {MASTER} 127.0.0.1 {at} 2\nsentinel down-after-milliseconds {MASTER} {LOST_AFTER_MS}\n\
             sentinel failover-timeout {MASTER} 4000\n{lines}"
        );
        let sentinels = (0..3).map(|_| RedisServer::sentinel(&config)).collect();
        let group = Self { servers, sentinels };
        eventually("all sentinels know all servers", async || {
            group.sentinels.iter().all(|sentinel| {
                let info = sentinel.info("sentinel");
                info.contains(&format!("slaves={replicas},sentinels=3"))
            })
        })
        .await;
        group
    }

    /// As `state.url` has it, with `user:password@` of the servers or nothing.
    pub fn url(&self, login: &str) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!("redis+sentinel://{login}{}/{MASTER}/0", hosts.join(","))
    }

    /// The port that this sentinel names.
    pub fn named_by(&self, sentinel: usize) -> u16 {
        let named = self.sentinels[sentinel].tell(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
        let (_, port): (String, String) = redis::from_redis_value(named).unwrap();
        port.parse().unwrap()
    }

    /// The server that the first sentinel names.
    pub fn primary(&self) -> usize {
        let port = self.named_by(0);
        self.servers.iter().position(|server| server.port == port).unwrap()
    }
}

/// Three masters with a third of the slots each, and replicas of the one that has the relays' keys.
#[derive(Debug)]
pub struct RedisCluster {
    /// The three masters, then the replicas of the first one, which has the keys.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Servers with more arguments. `key` is one of the relays' keys.
    pub async fn start(replicas: usize, key: &str, arguments: &[&str]) -> Self {
        let own = [CLUSTER_ENABLED, "yes", "--cluster-node-timeout", LOST_AFTER_MS, "--repl-diskless-sync-delay", "0"];
        // else a replica of the first master may go to one of the others, which have none
        let arguments = [&own[..], &["--cluster-migration-barrier", "9"], arguments].concat();
        let servers: Vec<RedisServer> = (0..3 + replicas).map(|_| RedisServer::with(&arguments)).collect();
        let Value::Int(slot) = servers[0].tell(&["CLUSTER", "KEYSLOT", key]) else { panic!("a number") };
        let mut ranges = [[0, 5460], [5461, 10922], [10923, 16383]];
        ranges.sort_by_key(|range| !(range[0]..=range[1]).contains(&slot));
        for (server, range) in servers.iter().zip(ranges) {
            let slots: Vec<String> = (range[0]..=range[1]).map(|slot| slot.to_string()).collect();
            server
                .tell(&["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect::<Vec<_>>());
        }
        for server in &servers[1..] {
            servers[0].tell(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string()]);
        }
        let cluster = Self { servers };
        let all = cluster.servers.len();
        let says = |text: &str| cluster.servers.iter().all(|server| server.text(&["CLUSTER", "INFO"]).contains(text));
        eventually("all nodes know each other", async || says(&format!("cluster_known_nodes:{all}"))).await;
        let id = cluster.servers[0].text(&["CLUSTER", "MYID"]);
        for replica in &cluster.servers[3..] {
            eventually("a replica finds its primary", async || {
                replica.try_tell(&["CLUSTER", "REPLICATE", &id]).is_ok()
            })
            .await;
        }
        eventually("the cluster is ready", async || {
            says("cluster_state:ok") && cluster.servers[3..].iter().all(RedisServer::follows)
        })
        .await;
        cluster
    }

    /// As `state.url` has it, with `user:password@` of the servers or nothing.
    pub fn url(&self, login: &str) -> String {
        let hosts: Vec<String> = self.servers.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!("redis+cluster://{login}{}", hosts.join(","))
    }
}
