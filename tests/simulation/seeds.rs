//! Which seeds are run, and by whom? `SIM_SEED` one, told event by event; else `SIM_SEEDS` from `SIM_START` on.

use std::{
    ops::Range,
    panic::catch_unwind,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

pub(crate) fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// The seeds that are asked for; `by_default` so many.
pub(crate) fn chosen(by_default: u64) -> Range<u64> {
    let start = from_env("SIM_START").unwrap_or(1);
    start..start + from_env("SIM_SEEDS").unwrap_or(by_default)
}

/// Runs every seed, on every core: the sum of what came of them, which does not depend on who ran which, and the stories of
/// those that ended with a broken promise.
pub(crate) fn run_all<T: Default + Send>(
    seeds: &Range<u64>,
    run: impl Fn(u64) -> T + Sync + std::panic::RefUnwindSafe,
    add: impl Fn(&mut T, T) + Sync,
) -> (T, Vec<String>) {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((T::default(), Vec::new()));
    let runner = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = catch_unwind(|| run(seed));
            let mut found = found.lock().expect("nobody panics with it");
            match run {
                Ok(tally) => add(&mut found.0, tally),
                Err(story) => {
                    let text = story.downcast_ref::<String>().cloned();
                    found.1.push(text.unwrap_or_else(|| format!("seed {seed} panicked")));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(runner);
        }
    });
    found.into_inner().expect("nobody panics with it")
}
