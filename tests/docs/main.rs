//! Is what the documents say true? Their code blocks are run, their names looked up, their links followed.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod badges;
mod base_images;
mod client_examples;
mod errcodes;
mod languages;
mod metrics;
mod page;
mod redis_access;
mod references;
mod running_relay;
mod settings;
mod shell_commands;

#[test]
fn every_block_of_json_is_json() {
    for (path, page) in page::pages() {
        for text in page.of_language("json") {
            let parsed = serde_json::from_str::<serde_json::Value>(text);
            assert!(parsed.is_ok(), "{}: {parsed:?}\n{text}", path.display());
        }
    }
}
