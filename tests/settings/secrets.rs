//! Does a secret arrive unchanged, whichever way it is given?

use proptest::prelude::*;
use secrecy::ExposeSecret;
use token_relay::settings::{KeyDigest, Layers, Settings};

use crate::given::{KEY, Written, load, quoted, toml};

#[test]
fn an_empty_variable_unsets_a_twin() {
    let written = Written::new();
    let (secret, key) = (written.file("secret", "from-the-file\n"), written.file("key", format!("{KEY}\r\n")));
    let secret_file = [("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET_FILE", secret.to_str().unwrap())];
    assert!(load(None, secret_file).is_err());
    let settings = load(None, secret_file.into_iter().chain([("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", "")])).unwrap();
    assert_eq!(settings.accounts["main"].secret.expose_secret(), "from-the-file");
    let key_file =
        [("TOKEN_RELAY__CLIENTS__ORDERS__KEY", ""), ("TOKEN_RELAY__CLIENTS__ORDERS__KEY_FILE", key.to_str().unwrap())];
    assert_eq!(load(None, key_file).unwrap().clients["orders"].keys[0].sha256, KeyDigest::of(KEY.as_bytes()));
    assert!(load(None, [("TOKEN_RELAY__CLIENTS__ORDERS__KEY_SHA256", "")]).is_ok());
}

#[test]
fn exactly_one_line_end_is_trimmed_from_a_secret_file() {
    let written = Written::new();
    let kept = [("s", "s"), ("s\n", "s"), ("s\r\n", "s")];
    let from_file = |text: &str| {
        let file = written.file("secret", text);
        let variables = ["", "_FILE"].map(|end| format!("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET{end}"));
        load(None, [(variables[0].as_str(), ""), (variables[1].as_str(), file.to_str().unwrap())])
    };
    for (text, secret) in kept {
        assert_eq!(from_file(text).unwrap().accounts["main"].secret.expose_secret(), secret, "{text:?}");
    }
    // none of these can be an AppSecret
    for text in ["", "\n", "\r\n", "s\n\n", " s ", "s\r", "a\nb\n", "\u{feff}s", "s\u{a0}"] {
        assert_eq!(from_file(text).unwrap_err().key(), "accounts.main.secret_file", "{text:?}");
    }
}

/// The secret of `main` from the environment, from TOML and from a file.
fn three_ways(secret: &str) -> [String; 3] {
    let written = Written::new();
    let account = |line: String| {
        let text = toml(&[("accounts.main", &format!("appid = \"wx1\"\n{line}"))]);
        let settings = Settings::load(Some(&written.file("config.toml", text)), []).unwrap();
        settings.accounts["main"].secret.expose_secret().to_owned()
    };
    let env = load(None, [("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", secret)]).unwrap();
    [
        env.accounts["main"].secret.expose_secret().to_owned(),
        account(format!("secret = {}", toml::Value::from(secret))),
        account(format!("secret_file = {}", quoted(&written.file("secret", format!("{secret}\n"))))),
    ]
}

#[test]
fn a_secret_that_looks_like_something_else_stays_as_it_is() {
    for secret in ["0001", "1e5", "true", "null", "a,b", "a=b", "[x]", "${X}", "\"q\"", "0x1f", "1979-05-27", "***"] {
        assert_eq!(three_ways(secret), [secret; 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_printable_secret_survives(secret in "[!-~]{1,80}") {
        prop_assert_eq!(three_ways(&secret), [secret.clone(), secret.clone(), secret]);
    }
}

#[test]
fn a_client_has_several_keys_in_every_form_and_none_is_shown() {
    let written = Written::new();
    let file = written.file("key", "sentinel-8f3a-the-key-of-a-file-0123456789\n");
    let [first, second] = ["sentinel-8f3a-first-0123456789-0123456789", "sentinel-8f3a-second-0123456789-012345678"];
    let hash = "5b5b99b0a468f8a5fa876a0e6f5578b36797fcd9562fac4950d799ffbb39831f";
    let text = format!(
        "{}[clients.billing]\nkeys = [\"{first}\", {{ key = \"{second}\" }}, {{ key_file = {file:?} }}, {{ key_sha256 = \"{hash}\" }}]\n",
        toml(&[])
    );
    let layers = Layers::read(Some(&written.file("relay.toml", &text)), []).unwrap();
    let settings = Settings::from_layers(&layers).unwrap();
    let keys: Vec<_> = settings.clients["billing"].keys.iter().map(|key| (key.sha256, key.fits_urls)).collect();
    let of = |key: &str| (KeyDigest::of(key.as_bytes()), Some(true));
    let expected =
        [of(first), of(second), of("sentinel-8f3a-the-key-of-a-file-0123456789"), (hash.parse().unwrap(), None)];
    assert_eq!(keys, expected);
    assert!(layers.redacted(&settings).contains("keys = \"***\" # from"));
    assert!(!layers.redacted(&settings).contains("sentinel-8f3a"));
    let from_env = load(
        None,
        [
            ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", ""),
            ("TOKEN_RELAY__CLIENTS__ORDERS__KEYS", &*format!("{first},{second}")),
        ],
    );
    assert_eq!(from_env.unwrap().clients["orders"].keys.len(), 2);
}
