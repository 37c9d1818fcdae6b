//! Does the shipped file hold every key with its default, and what does `check` print of a secret URL?

use token_relay::settings::Layers;

use crate::given::{SENTINEL, Written, line_of, load, origins};

pub(crate) const SHIPPED: &str = include_str!("../../config/token-relay.toml");

#[test]
fn the_shipped_file_holds_every_key_with_its_default() {
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    let printed: toml::Table = origins(None, &[]).parse().unwrap();
    let without_names = |mut table: toml::Table| {
        table.retain(|name, _| name != "accounts" && name != "clients");
        table
    };
    assert_eq!(shipped, without_names(printed));
    let written = Written::new();
    assert!(load(Some(&written.file("config.toml", SHIPPED)), []).is_ok());
}

/// Prose has a space after its `#`, an example has none.
fn uncommented(line: &str) -> &str {
    let example = |rest: &&str| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    line.strip_prefix('#').filter(example).unwrap_or(line)
}

#[test]
fn the_shipped_examples_hold_every_key_of_an_account_and_a_client() {
    let text: String = SHIPPED.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
    let written = Written::new();
    Layers::read(Some(&written.file("config.toml", &text)), []).unwrap().sound().unwrap();
    let table: toml::Table = text.parse().unwrap();
    let keys = |section: &str| {
        let keys = table[section].as_table().unwrap().values().flat_map(|one| one.as_table().unwrap().keys());
        keys.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    for (section, name) in [("accounts", "main"), ("clients", "orders")] {
        let file = written.file("unknown.toml", format!("[{section}.{name}]\nno_such_key = 1"));
        let message = Layers::read(Some(&file), []).unwrap().sound().unwrap_err().to_string();
        let known = message.split("known here: ").nth(1).unwrap().split(" (from").next().unwrap();
        let mut known: Vec<_> = known.split(", ").map(str::to_owned).collect();
        known.sort();
        assert_eq!(keys(section), known);
    }
}

#[test]
fn what_check_prints_tells_redis_and_proxy_by_host_only() {
    let printed = origins(
        None,
        &[
            ("TOKEN_RELAY__STATE__URL", "rediss://u:sentinel-8f3a@cache:6380/1"),
            ("TOKEN_RELAY__WECHAT__PROXY", "http://u:sentinel-8f3a@proxy:3128"),
        ],
    );
    let file = origins(None, &[("TOKEN_RELAY__STATE__URL", "file:///var/lib/token-relay")]);
    assert!(line_of(&file, "state.url").starts_with("url = \"file:///var/lib/token-relay\" # from"), "{file}");
    assert!(line_of(&printed, "state.url").starts_with("url = \"***\" # rediss://cache:6380, from"), "{printed}");
    assert!(line_of(&printed, "wechat.proxy").starts_with("proxy = \"***\" # http://proxy:3128, from"), "{printed}");
    let several = "redis+sentinel://u:sentinel-8f3a@one:26379,two/mymaster/0";
    let several = origins(None, &[("TOKEN_RELAY__STATE__URL", several)]);
    let shown = "url = \"***\" # redis+sentinel://one:26379,two, from";
    assert!(line_of(&several, "state.url").starts_with(shown), "{several}");
    assert!(!printed.contains(SENTINEL) && !several.contains(SENTINEL), "{printed}{several}");
}
