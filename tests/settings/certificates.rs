//! Are the names in clients' certificates read, and refused where they cannot be meant?

use test_support::Certificate;
use token_relay::settings::Settings;

use crate::given::{KEY, Written, check, quoted, refused, toml};

/// The smallest settings with a CA of the clients, and these tables.
fn with_ca(written: &Written, clients: &[(&str, &str)]) -> String {
    let certificate = Certificate::of("localhost");
    let file = |name, text| quoted(&written.file(name, text));
    let (chain, key) = (file("cert.pem", certificate.chain()), file("key.pem", certificate.key()));
    let tls = format!("cert_file = {chain}\nkey_file = {key}\nclient_ca_file = {chain}");
    toml(&[&[("server.tls", tls.as_str())], clients].concat())
}

#[test]
fn a_name_or_a_list_of_names_takes_the_place_of_a_key_or_stands_beside_it() {
    let written = Written::new();
    let both = format!("certificate = [\"B.internal\", \"c_1\"]\nkey = \"{KEY}\"");
    let clients = [("clients.orders", "certificate = \"a.internal\""), ("clients.both", both.as_str())];
    let file = written.file("config.toml", with_ca(&written, &clients));
    let settings = Settings::load(Some(&file), []).unwrap();
    let client = |name: &str| {
        let client = &settings.clients[name];
        (client.certificates.iter().map(ToString::to_string).collect::<Vec<_>>(), client.keys.len())
    };
    assert_eq!(client("orders"), (vec!["a.internal".to_owned()], 0));
    assert_eq!(client("both"), (vec!["b.internal".to_owned(), "c_1".to_owned()], 1));
}

#[test]
fn what_names_no_one_client_is_refused() {
    let written = Written::new();
    let other = |certificate| format!("certificate = {certificate}");
    for (orders, second, names) in [
        ("\"a\"", "\"A\"", "clients.other.certificate: clients.orders has the same name"),
        ("[\"a\", \"b\"]", "[\"c\", \"b\"]", "clients.other.certificate: clients.orders has the same name"),
        ("\"a\"", "\"*.internal\"", "clients.other.certificate: must be a name"),
        ("\"a\"", "\"sentinel-8f3a with a space\"", "clients.other.certificate: must be a name"),
        ("\"a\"", "[]", "clients.other.certificate: must not be empty"),
    ] {
        let (orders, second) = (other(orders), other(second));
        let clients = [("clients.orders", orders.as_str()), ("clients.other", second.as_str())];
        let text = with_ca(&written, &clients);
        let message = refused(&text, check(Some(&written.file("config.toml", &text)), Vec::new()));
        assert!(message.contains(names), "{text} -> {message}");
    }
}

#[test]
fn a_damaged_certificate_between_the_leaf_and_its_ca_is_refused_as_one_and_not_as_none() {
    let written = Written::new();
    let certificate = Certificate::of("localhost");
    let key = quoted(&written.file("key.pem", certificate.key()));
    let block = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    for damaged in [block("AAAA"), block("no base64"), block("AAAA").replace("-----END", "")] {
        let chain = quoted(&written.file("cert.pem", format!("{}{damaged}", certificate.chain())));
        let text = toml(&[("server.tls", &format!("cert_file = {chain}\nkey_file = {key}"))]);
        let message = refused(&text, check(Some(&written.file("config.toml", &text)), Vec::new()));
        assert!(message.contains("server.tls.cert_file: has a certificate that cannot be read"), "{message}");
    }
}
