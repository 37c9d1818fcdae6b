//! Does `token-relay check --online` ask WeChat harmlessly, and say what is wrong and what to do?

use test_support::{Certificate, FakeServer, Finished, SECRET, SENTINEL, Setup, run};
use wechat_sim::{Kind, Op, Sim};

use crate::RELAY;

/// Runs it with the settings of `setup`, and looks for secrets in what it prints.
fn check(setup: &Setup) -> Finished {
    let checked = run(RELAY, &["check", "--online"], &setup.env);
    assert!(!checked.stdout.contains(SENTINEL) && checked.stderr.is_empty(), "{}{}", checked.stdout, checked.stderr);
    checked
}

/// What was wrong, each without its `WRONG `.
fn wrong(checked: &Finished) -> Vec<&str> {
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    checked.stdout.lines().filter_map(|line| line.strip_prefix("WRONG ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_running_relay_it_says_its_cost_first_and_ends_no_token() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    setup.account("shop", "stable_token");
    let base_url = format!("http://localhost:{}", setup.sim.addr().port());
    setup.set("wechat.base_url", &base_url);
    let relay = setup.start().await;
    let mut tokens = Vec::new();
    for account in ["main", "shop"] {
        tokens.push(relay.get(&format!("/token?account={account}")).await.token());
    }
    let printed = check(&setup).succeeded();
    assert!(printed.starts_with("# WeChat, 2 accounts. Cost: one call of stable_token each"), "{printed}");
    for line in [
        "\nok    localhost: DNS: ",
        "\nok    localhost: TCP: answered within ",
        "\nok    localhost: clock: the same within 5s\n",
        "\nok    main: AppSecret and IP whitelist (stable_token): accepted, a token of 2h was returned\n",
        "\nok    shop: AppSecret and IP whitelist (stable_token): accepted, a token of ",
        "\n# all is well: 5 checks\n",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    for (appid, token) in [("wxmain", &tokens[0]), ("wxshop", &tokens[1])] {
        assert!(setup.sim.token_alive(appid, token) && !printed.contains(token.as_str()), "{printed}");
    }
    for grant in setup.sim.living("wxmain", Kind::Sticky) {
        assert!(!printed.contains(&grant.access_token));
    }
    let mints = |appid, kind| setup.sim.mints(appid, kind);
    assert_eq!(
        (mints("wxmain", Kind::Rotating), mints("wxmain", Kind::Sticky), mints("wxshop", Kind::Sticky)),
        (1, 1, 1)
    );
    assert_eq!(setup.sim.calls(Op::StableToken).len(), 3, "one of the relay, two of the check");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_refused_is_named_with_what_to_do_and_the_others_are_asked_all_the_same() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    setup.account("shop", "token");
    setup.account("wrong", "token");
    setup.set("accounts.wrong.secret", "sentinel-another-secret");
    assert!(setup.sim.set_whitelist("wxmain", Some(Vec::new())));
    let checked = check(&setup);
    let wrong = wrong(&checked);
    assert_eq!(wrong.len(), 2, "{}", checked.stdout);
    assert!(wrong[0].starts_with("main: AppSecret and IP whitelist (stable_token): WeChat answered errcode 40164: "));
    assert!(wrong[1].starts_with("wrong: AppSecret and IP whitelist (stable_token): WeChat answered errcode 40125: "));
    let printed = &checked.stdout;
    assert!(printed.contains("\n      127.0.0.1 is not on the IP whitelist: put exactly this IP on "), "{printed}");
    assert!(
        printed.contains("\nok    shop: ") && printed.ends_with("# 2 of 5 checks found something wrong\n"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_host_is_reached_no_account_is_asked() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    setup.set("wechat.base_url", "http://no-such-host.invalid");
    let checked = check(&setup);
    let wrong = wrong(&checked);
    assert!(wrong.len() == 2 && wrong[0].starts_with("no-such-host.invalid: DNS: not sent: "), "{wrong:?}");
    assert!(checked.stdout.contains("\n      1 account: not asked, for no host was reached\n"), "{}", checked.stdout);
    let base_url = setup.sim.base_url();
    setup.set("wechat.fallback_base_url", &base_url);
    assert!(check(&setup).stdout.contains("\nok    main: "), "the other host takes the call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_named_before_a_secret_is_sent() {
    let [theirs, other] = ["localhost"; 2].map(Certificate::of);
    let mut setup = Setup::around(RELAY, Sim::builder().tls(theirs.identity()).start().await.unwrap());
    setup.account("main", "token");
    let base_url = format!("https://localhost:{}", setup.sim.addr().port());
    setup.set("wechat.base_url", &base_url);
    let ca = other.write_ca(setup.path());
    setup.env("SSL_CERT_FILE", &ca);
    let checked = check(&setup);
    let wrong = wrong(&checked);
    assert!(wrong.len() == 1 && wrong[0].starts_with("localhost: TCP and TLS: not sent: localhost: "), "{wrong:?}");
    assert!(checked.stdout.contains("\n      the host's certificate is not trusted: "), "{}", checked.stdout);
    assert!(setup.calls().is_empty());
    let ca = theirs.write_ca(setup.path());
    setup.env("SSL_CERT_FILE", &ca);
    assert!(check(&setup).succeeded().contains("\nok    localhost: TCP and TLS: answered within "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_differs_is_said_and_the_host_is_greeted_without_a_secret() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    let reply = "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 2\r\n\r\n{}";
    let server = FakeServer::replying(reply);
    setup.set("wechat.base_url", &server.url("http"));
    let checked = check(&setup);
    let wrong = wrong(&checked);
    assert!(
        wrong[0].starts_with("127.0.0.1: clock: this machine's clock is ")
            && wrong[0].ends_with(" ahead of the host's")
    );
    assert!(wrong[1].starts_with("main: AppSecret and IP whitelist (stable_token): outcome unknown: "), "{wrong:?}");
    let requests = server.requests();
    assert!(requests[0].starts_with("GET /cgi-bin/get_api_domain_ip HTTP/1.1\r\n") && !requests[0].contains(SECRET));
    assert!(requests[1].starts_with("POST /cgi-bin/stable_token ") && requests[1].contains("\"force_refresh\":false"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_wecom_are_asked_once_and_the_ban_is_said_before() {
    const CORP: &str = "ww0123456789abcdef";
    let mut setup = Setup::around(RELAY, Sim::builder().start().await.unwrap());
    setup.sim.register_agent(CORP, "crm", SECRET);
    setup.set("wecom.base_url", &setup.sim.base_url());
    for (name, secret) in [("crm", SECRET), ("wrong", "sentinel-another-secret")] {
        for (key, value) in [("platform", "wecom"), ("corpid", CORP), ("secret", secret)] {
            setup.set(&format!("accounts.{name}.{key}"), value);
        }
    }
    let checked = check(&setup);
    let printed = &checked.stdout;
    assert!(printed.starts_with("# WeCom, 2 accounts. Cost: ") && printed.contains("bans this address"), "{printed}");
    assert!(printed.contains("\nok    crm: secret and trusted IP (gettoken): accepted"), "{printed}");
    let wrong = wrong(&checked);
    assert!(
        wrong.len() == 1
            && wrong[0].starts_with("wrong: secret and trusted IP (gettoken): WeCom answered errcode 40001")
    );
    assert_eq!(setup.sim.calls(Op::WecomToken).len(), 2);
}

#[test]
fn bad_settings_end_it_with_78_before_anything_is_asked() {
    let checked = run(RELAY, &["check", "--online"], [("TOKEN_RELAY__WECHAT__BASE_URL", "ftp://x")]);
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(78), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_addresses_of_its_own_is_shown_with_them_and_not_looked_up() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    setup.set("wechat.base_url", &format!("http://api.wechat.invalid:{}", setup.sim.addr().port()));
    setup.set("wechat.resolve", "api.wechat.invalid=127.0.0.1");
    let checked = check(&setup).succeeded();
    assert!(checked.contains("\nok    api.wechat.invalid: DNS: 127.0.0.1 (wechat.resolve)\n"), "{checked}");
}
