//! Explores every configuration, and prints how many states each has: `cargo run --release -p lease-model`. With arguments
//! only those of these names.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use lease_model::{Explored, Faults, Setup, exhaust};

/// Name, relays, calls, and what goes wrong.
const CONFIGURATIONS: [(&str, usize, u8, Faults); 18] = [
    ("2 relays, no fault", 2, 4, Faults::NONE),
    ("2 relays, freeze", 2, 4, Faults::FREEZE),
    ("2 relays, crash", 2, 4, Faults::CRASH),
    ("2 relays, loss", 2, 4, Faults::LOSS),
    ("2 relays, cut, unknown call", 2, 3, Faults { cuts: 1, unknowns: 1, ..Faults::NONE }),
    ("2 relays, freeze, unknown call", 2, 3, Faults { unknowns: 1, ..Faults::FREEZE }),
    ("2 relays, loss, unknown call", 2, 4, Faults { unknowns: 1, ..Faults::LOSS }),
    ("2 relays, freeze, loss", 2, 3, Faults { losses: 1, ..Faults::FREEZE }),
    ("2 relays, crash, loss", 2, 3, Faults { losses: 1, ..Faults::CRASH }),
    ("2 relays, freeze, crash", 2, 3, Faults { crashes: 1, ..Faults::FREEZE }),
    ("2 relays, freeze, crash, loss", 2, 3, Faults { crashes: 1, losses: 1, ..Faults::FREEZE }),
    ("3 relays, freeze", 3, 3, Faults::FREEZE),
    ("3 relays, crash", 3, 3, Faults::CRASH),
    ("3 relays, loss", 3, 3, Faults::LOSS),
    ("3 relays, crash, loss", 3, 3, Faults { losses: 1, ..Faults::CRASH }),
    ("3 relays, freeze, loss", 3, 3, Faults { losses: 1, ..Faults::FREEZE }),
    ("3 relays, freeze, crash", 3, 3, Faults { crashes: 1, ..Faults::FREEZE }),
    ("3 relays, freeze, crash, loss", 3, 3, Faults { crashes: 1, losses: 1, ..Faults::FREEZE }),
];

fn main() -> ExitCode {
    let asked: Vec<String> = env::args().skip(1).collect();
    let is_known = |name: &String| CONFIGURATIONS.iter().any(|(known, ..)| name == known);
    let mut exit = if asked.iter().all(is_known) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    println!("{:<32} {:>12} {:>12} {:>6} {:>8}", "configuration", "states", "steps", "depth", "seconds");
    for (name, relays, calls, faults) in CONFIGURATIONS {
        if !asked.is_empty() && asked.iter().all(|asked| asked != name) {
            continue;
        }
        let (explored, took) = timed(Setup { relays, calls, faults, without: &[] });
        let Explored { states, steps, depth, broken, seen } = explored;
        println!("{name:<32} {states:>12} {steps:>12} {depth:>6} {:>8.1}", took.as_secs_f64());
        println!("    seen: {}", seen.join("; "));
        if let Some((property, actions)) = broken {
            exit = ExitCode::FAILURE;
            println!("    BROKEN: {property}");
            for action in actions {
                println!("        {action:?}");
            }
        }
    }
    exit
}

#[expect(clippy::disallowed_methods, reason = "how long it took is printed, and nothing follows from it")]
fn timed(setup: Setup) -> (Explored, Duration) {
    let began = Instant::now();
    (exhaust(setup, 2), began.elapsed())
}
