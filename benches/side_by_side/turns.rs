//! What do two servers use that take turns under the same load?

use std::{io, time::Duration};

use token_relay::clock::{Clock, SystemClock};

use super::{
    load::{Load, Waiting},
    server::Server,
    spread::{Round, Spread},
};

/// A server's turn.
const TURN: Duration = Duration::from_millis(100);

/// Rounds of another server and of the relay, in pairs.
#[derive(Default)]
pub(crate) struct Turns {
    other: Vec<Round>,
    relay: Vec<Round>,
}

impl Turns {
    /// Each goes first in every other round; the first round of all warms up.
    pub(crate) async fn take(
        rounds: usize,
        waiting: Waiting,
        other: (&Server, &mut Load),
        relay: (&Server, &mut Load),
    ) -> io::Result<Self> {
        let mut turns = Self::default();
        for round in 0..=rounds {
            let (of_other, of_relay) = if round % 2 == 0 {
                let of_other = turn(other.0, other.1, waiting).await?;
                (of_other, turn(relay.0, relay.1, waiting).await?)
            } else {
                let of_relay = turn(relay.0, relay.1, waiting).await?;
                (turn(other.0, other.1, waiting).await?, of_relay)
            };
            if round > 0 {
                turns.other.push(of_other);
                turns.relay.push(of_relay);
            }
        }
        Ok(turns)
    }

    /// Prints what each of them used.
    pub(crate) fn print(&self, waiting: Waiting, other: &str) {
        let load = match waiting {
            Waiting::Awake => "that never sleeps",
            Waiting::Asleep => "that sleeps while it waits",
        };
        println!("{} rounds with a load {load}, medians (quartiles):", self.relay.len());
        for (name, rounds) in [(other, &self.other), ("token-relay", &self.relay)] {
            let of = |measure: fn(&Round) -> f64| Spread::of(rounds.iter().map(measure));
            println!(
                "  {name:<12} CPU per request {} µs   core busy {:.0} %   requests a second {:.0}",
                of(Round::micros_per_request),
                of(Round::busy).median,
                of(Round::rate).median,
            );
        }
    }

    /// The relay's to the other's, pair by pair.
    pub(crate) fn ratio(&self, measure: fn(&Round) -> f64) -> Spread {
        Spread::of(self.relay.iter().zip(&self.other).map(|(relay, other)| measure(relay) / measure(other)))
    }
}

/// One server under load.
async fn turn(server: &Server, load: &mut Load, waiting: Waiting) -> io::Result<Round> {
    let (before, began) = (server.cpu()?, SystemClock.boot_now());
    let requests = load.run(TURN, waiting).await?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Round { requests, cpu, wall: SystemClock.boot_now().since(began) })
}
