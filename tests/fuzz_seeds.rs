//! Do the properties in `tests/properties` hold for the inputs in `fuzz/seeds`? These are the inputs of the most coverage that the
//! fuzzers found, and every one that broke a property.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// `holds` returns whether the input was accepted: some must be, and some not.
fn every_seed_of(target: &str, holds: impl Fn(&[u8]) -> bool) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut ways = [0, 0];
    for seed in fs::read_dir(seeds).expect("a folder for each target") {
        let path = seed.expect("its entries are read").path();
        let bytes = fs::read(&path).expect("a file");
        let way = catch_unwind(AssertUnwindSafe(|| holds(&bytes)));
        ways[usize::from(way.unwrap_or_else(|_| panic!("the property does not hold for {}", path.display())))] += 1;
    }
    assert!(ways.iter().all(|count| *count > 0), "{ways:?}");
}

#[test]
fn no_reply_passes_for_what_it_is_not_or_tells_a_secret() {
    every_seed_of("reply", |body| properties::reply::holds(body).is_ok());
}

#[test]
fn any_bytes_may_lie_in_the_store() {
    every_seed_of("record", properties::record::holds);
}

#[test]
fn any_text_may_be_the_settings_and_no_secret_of_it_is_said() {
    every_seed_of("settings", properties::settings::holds);
}

#[test]
fn the_fast_path_answers_and_counts_as_hyper_does() {
    every_seed_of("head", properties::head::holds);
    properties::head::have_counted_the_same();
}

#[test]
fn the_gateway_passes_on_what_was_sent_with_the_right_token_and_no_key() {
    every_seed_of("gateway", properties::gateway::holds);
}

#[test]
fn only_who_asks_rightly_gets_a_token_of_the_drop_in_routes() {
    every_seed_of("drop_in", properties::drop_in::holds);
}
