//! How long does a relay take from its start to its first answer, on the state that another one left?

use std::{
    io::{self, Error},
    path::Path,
    time::Duration,
};

use wechat_sim::{Op, Sim};

use crate::{
    others::request,
    side_by_side::{
        relay::{self, APPID, SECRET},
        server::{Cores, Server},
        spread::Spread,
    },
    support::machine::verdict,
};

const STARTS: usize = 20;
/// The target of the worst.
const LONGEST: Duration = Duration::from_millis(100);

/// From before its process was made until a `GET /token` was answered with 200, tried every 0.2 ms, on one core.
pub(crate) async fn time(cores: &Cores, home: &Path) -> io::Result<()> {
    let sim = Sim::builder().app(APPID, SECRET).start().await.map_err(Error::other)?;
    let mut times = Vec::new();
    for _ in 0..=STARTS {
        let relay = Server::start(cores, &request(), |address| relay::command(address, &sim, home)).await?;
        times.push(relay.started_in());
        relay.stop()?;
    }
    let times = &times[1..]; // the first one had no state
    let spread = Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3));
    let worst = times.iter().max().copied().unwrap_or_default();
    println!(
        "\nfrom start to the first 200, with a stored token: {spread} ms, worst of {STARTS} {:.1} ms   target at most {} ms: {}",
        worst.as_secs_f64() * 1e3,
        LONGEST.as_millis(),
        verdict(worst <= LONGEST)
    );
    println!("calls of WeChat by all {} relays: {}", STARTS + 1, sim.calls(Op::Any).len());
    Ok(())
}
