//! What do the accounts cost three relays on one Redis, and the Redis?

use std::{io, sync::Arc};

use tokio::time::sleep;

use crate::{
    at_rest::{self, SETTLE, WINDOW},
    redis_server::RedisServer,
    relay::Relay,
    report,
    setup::Setup,
    take_over,
};

const RELAYS: u32 = 3;

pub(crate) async fn measure(setup: &Arc<Setup>) -> io::Result<()> {
    let Some(mut redis) = RedisServer::start(setup).await? else {
        println!(
            "no redis-server and no valkey-server (Debian: apt-get install redis-server): several relays not measured"
        );
        return Ok(());
    };
    // The first one has all leases by the time that the others come.
    let holder = Relay::start(setup, setup.accounts, &redis.url).await?;
    report::start_on_redis(holder.served_in, holder.start_cpu);
    let followers = [
        Relay::start(setup, setup.accounts, &redis.url).await?,
        Relay::start(setup, setup.accounts, &redis.url).await?,
    ];
    sleep(SETTLE).await;
    rest(setup, &mut redis, &holder, &followers).await?;
    report::leases(setup.accounts, holder.leases().await?);
    take_over::measure(setup, holder, &followers).await
}

async fn rest(setup: &Setup, redis: &mut RedisServer, holder: &Relay, [one, other]: &[Relay; 2]) -> io::Result<()> {
    let before = redis.work().await?;
    let processes = [&holder.process, &one.process, &other.process, &redis.process];
    let [of_holder, of_one, of_other, of_redis] = at_rest::cpu_of(setup, processes).await?;
    let (commands, bytes) = redis.work().await?.since(before);
    report::cpu_on_redis(setup.accounts, of_holder, of_one.max(of_other), of_redis);
    report::redis_work(setup.accounts, per_relay(commands), per_relay(bytes));
    Ok(())
}

/// A second, a relay.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_relay(count: u64) -> f64 {
    count as f64 / WINDOW.as_secs_f64() / f64::from(RELAYS)
}
