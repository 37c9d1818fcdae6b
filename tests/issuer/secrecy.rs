//! Is a secret in a refused setting, or in what is printed for debugging?

use secrecy::SecretString;
use token_relay::issuer::{
    upstream::{Upstream, UpstreamError, UpstreamSettings, Url},
    wechat::Endpoint,
};

use crate::{
    call::{SECRET, issuer, settings},
    fallback::with_fallback,
};

#[test]
fn an_unusable_setting_is_refused_by_its_key_and_never_shown() {
    let refusal = |settings| Upstream::new(settings).map(drop).unwrap_err();
    for base in ["ftp://host", "http://user:hunter2@host", "http://host/?a=hunter2", "http://host/#x", "data:hunter2"] {
        let error = refusal(settings(base));
        assert_eq!(error, UpstreamError::BaseUrl { key: "wechat.base_url" });
        assert!(!error.to_string().contains("hunter2"));
        let error = refusal(with_fallback("http://host", base));
        assert_eq!(error, UpstreamError::BaseUrl { key: "wechat.fallback_base_url" });
    }
    for proxy in ["hunter2", "ftp://hunter2@host", "http://", "socks4://host:1", "://hunter2"] {
        let error = refusal(UpstreamSettings { proxy: Some(SecretString::from(proxy)), ..settings("http://host") });
        assert_eq!(error, UpstreamError::Proxy);
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn nothing_that_is_printed_for_debugging_holds_a_secret() {
    for proxy in ["http://user:hunter2@127.0.0.1:1", "socks5h://user:hunter2@127.0.0.1:1"] {
        let settings = UpstreamSettings { proxy: Some(SecretString::from(proxy)), ..settings("http://host") };
        let shown = format!("{settings:?} {:?}", issuer(settings.clone(), Endpoint::Token));
        // user:hunter2 in base64, as a proxy header has it
        for hidden in ["hunter2", "dXNlcjpodW50ZXIy", SECRET] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}

#[test]
fn the_url_type_is_the_client_s_own() {
    assert!("https://api.weixin.qq.com".parse::<Url>().is_ok());
}
