//! What was a bench asked for?

use std::env;

/// The arguments, if it is to measure. `cargo test --all-targets` runs each bench too: then it says how it is asked to.
pub(crate) fn to_measure(bench: &str) -> Option<Vec<String>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--bench") {
        return Some(arguments);
    }
    println!("to measure: cargo bench --bench {bench}");
    None
}
