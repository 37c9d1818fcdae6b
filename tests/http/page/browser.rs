//! Is the page what a person expects of it? By clicks in headless Chromium, and by pictures.
//!
//! Debian: the packages `chromium` and `fonts-noto-cjk`. `TOKEN_RELAY_SCREENSHOTS=1 cargo test --test http page::browser` takes
//! the pictures of the documentation anew, for which `fonts-inter` should be there as well.

use std::{env, path::Path, time::Duration};

use test_support::{
    Browser,
    toolchain::{self, CHROMIUM},
};
use token_relay::clock::{Clock, SystemClock};

use super::scenes::{calm, fails, lives, many, refused_ip};
use crate::fake_relay::{FakeRelay, Served};

/// A browser that shows the page of `fake`; `None` where there is no Chromium.
async fn opened(fake: &FakeRelay, target: &str) -> Option<(Browser, Served)> {
    if !toolchain::all_here(&[CHROMIUM]).await {
        return None;
    }
    let served = fake.serve_admin().await;
    let mut browser = Browser::start();
    browser.size(1280, 800);
    browser.open(&format!("http://{}{target}", served.address));
    browser.until("it is connected", "document.getElementById('live').className === 'connected'");
    Some((browser, served))
}

/// How many lines are to be seen.
const LINES: &str = "[...document.querySelectorAll('#rows > .row')].filter(row => !row.hidden).length";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_hides_the_other_lines_and_a_click_unfolds_one() {
    let fake = calm();
    let Some((mut browser, _served)) = opened(&fake, "/").await else { return };
    assert_eq!(browser.value(LINES), 7);
    browser.click("#search");
    browser.type_text("Mini");
    browser.until("two are left", &format!("{LINES} === 2"));
    assert_eq!(browser.value("location.search"), "?q=mini");
    browser.type_text(" nowhere");
    browser.until("none is left", &format!("{LINES} === 0 && !document.getElementById('none').hidden"));
    browser.value("document.getElementById('search').select()");
    browser.type_text("main");
    browser.until("one is left", &format!("{LINES} === 1"));
    assert_eq!(browser.value("document.querySelector('[data-name=main]').open"), false);
    browser.click("[data-name=main] .name b");
    browser.until("it is unfolded", "document.querySelector('[data-name=main]').open");
    let text = browser.text("[data-name=main] .cells");
    for part in ["access_token", "jsapi", "wx_card", "calls left today", "374"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_comes_to_the_top_with_what_to_do_and_nothing_is_made_anew() {
    let fake = calm();
    let Some((mut browser, _served)) = opened(&fake, "/").await else { return };
    browser.click("[data-name=staging] .name b");
    browser.value("window.kept = document.querySelector('[data-name=staging]')");
    browser.value(
        "window.added = 0; new MutationObserver(changes => changes.forEach(change => \
        window.added += [...change.addedNodes].filter(node => node.nodeType === 1).length)) \
        .observe(document.getElementById('rows'), { childList: true, subtree: true })",
    );
    let error = token_relay::issuer::IssueError::Refused { errcode: 40164, errmsg: "invalid ip 1.2.3.4".to_owned() };
    fails(&fake, "staging", None, error, 1);
    browser.until("it is first", "document.querySelector('#rows .row').dataset.name === 'staging'");
    let advice = browser.text("#notices .notice p");
    assert!(advice.starts_with("1.2.3.4 is not on the IP whitelist: put exactly this IP"), "{advice}");
    assert!(browser.text("#notices .notice h3").contains("staging"));
    assert_eq!(
        browser.value("window.kept === document.querySelector('[data-name=staging]') && window.kept.open"),
        true
    );
    assert!(browser.value("document.title").as_str().unwrap().starts_with("(1) degraded"));
    // the line itself, which moves, and what it did not have before: a tick in the line and one behind it
    let added = browser.value("window.added").as_u64().unwrap();
    assert!(added <= 8, "{added} elements");
    lives(&fake, "staging", 5);
    browser.until("all is well", "document.getElementById('todo').hidden");
    assert_eq!(browser.text("#counts .fine b"), "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bar_drains_and_the_durations_run_down_without_an_event() {
    let fake = calm();
    lives(&fake, "main", 7200 - 60);
    let Some((mut browser, _served)) = opened(&fake, "/").await else { return };
    let left = "Number(document.querySelector('[data-name=main] rect.left').getAttribute('width'))";
    let text = "parseInt(document.querySelector('[data-name=main] [data-f=left]').textContent)";
    let before = (browser.value(left).as_u64().unwrap(), browser.value(text).as_u64().unwrap());
    assert!(before.0 <= 9 && before.1 <= 60, "{before:?}");
    browser.until("both are less", &format!("{left} < {} && {text} < {} - 8", before.0, before.1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_said_at_once_and_the_page_lives_again_with_the_relay() {
    let fake = calm();
    let Some((mut browser, served)) = opened(&fake, "/").await else { return };
    assert_eq!(browser.text("#lost"), "");
    let stopped_at = SystemClock.awake();
    fake.relay.shutdown.cancel();
    served.serving.await.unwrap();
    browser.until("it says so", "!document.getElementById('lost').hidden");
    assert!(SystemClock.awake().saturating_sub(stopped_at) < Duration::from_secs(5));
    let lost = browser.text("#lost");
    assert!(lost.starts_with("The connection to the relay is lost") && lost.contains("20"), "{lost}");
    let next = refused_ip();
    let _served = next.serve_admin_at(served.address).await;
    browser.until("it shows the new relay", "document.querySelector('#rows .row').dataset.name === 'main'");
    browser.until("and is connected", "document.getElementById('lost').hidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_languages_are_switched_by_a_click_and_the_search_is_kept() {
    let fake = refused_ip();
    let Some((mut browser, served)) = opened(&fake, "/?q=main").await else { return };
    assert_eq!(browser.value("document.documentElement.lang"), "en");
    browser.click("nav a[lang=zh-CN]");
    browser.until("it is Chinese", "document.documentElement.lang === 'zh-CN' && document.readyState === 'complete'");
    browser.until("it follows", "document.getElementById('live').className === 'connected'");
    assert!(browser.text("#notices").contains("203.0.113.7 不在 IP 白名单中"));
    assert_eq!(browser.value("document.getElementById('search').value"), "main");
    assert_eq!(browser.value(LINES), 1);
    browser.prefer_languages("zh-CN,zh;q=0.9");
    browser.open(&format!("http://{}/", served.address));
    assert_eq!(browser.value("document.documentElement.lang"), "zh-CN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dark_and_light_follow_what_the_person_prefers() {
    let fake = calm();
    let Some((mut browser, _served)) = opened(&fake, "/").await else { return };
    let mut brightness = |is_dark| {
        browser.prefer_dark(is_dark);
        let colour = browser.value("getComputedStyle(document.body).backgroundColor");
        let parts = colour.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')').split(", ");
        parts.map(|part| part.parse::<u32>().unwrap()).sum::<u32>()
    };
    assert!(brightness(true) < 150 && brightness(false) > 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scripts_the_page_still_shows_the_state_and_asks_again_by_itself() {
    let fake = refused_ip();
    if !toolchain::all_here(&[CHROMIUM]).await {
        return;
    }
    let served = fake.serve_admin().await;
    let mut browser = Browser::start();
    browser.allow_scripts(false);
    browser.open(&format!("http://{}/", served.address));
    assert!(browser.text("#notices").contains("203.0.113.7 is not on the IP whitelist"));
    assert!(browser.text("body").contains("Without a script this page is loaded anew every 10 s."));
    assert_eq!(browser.value("document.querySelector('noscript meta').httpEquiv"), "refresh");
    assert!(browser.value("document.querySelector('[data-name=crm] rect.left').getBoundingClientRect().width") != 0);
    browser.click("[data-name=main] .name b");
    browser.until("it is unfolded", "document.querySelector('[data-name=main]').open");
    browser.value("window.before = true");
    lives(&fake, "main", 5);
    browser.until(
        "it was loaded anew",
        "!window.before && document.querySelector('[data-name=main]').className === 'row fine'",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_phone_nothing_is_wider_than_the_window() {
    let fake = refused_ip();
    let Some((mut browser, _served)) = opened(&fake, "/").await else { return };
    for width in [320, 390, 768, 1024, 1280, 1920] {
        browser.size(width, 800);
        let wide = "[...document.querySelectorAll('body, header, main, .notice, .row, .cell')] \
            .filter(el => el.getBoundingClientRect().right > innerWidth + 1 || el.scrollWidth > el.clientWidth + 1).map(el => el.className || el.tagName)";
        assert_eq!(browser.value(wide), serde_json::json!([]), "{width}");
        assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_accounts_are_searched_in_the_page() {
    let fake = many();
    let Some((mut browser, _served)) = opened(&fake, "/").await else { return };
    assert_eq!(browser.value(LINES), 500);
    let took = browser.value(
        "(() => { const box = document.getElementById('search'); const began = performance.now(); box.value = '38'; \
         box.dispatchEvent(new Event('input')); document.body.getBoundingClientRect(); return performance.now() - began; })()",
    );
    let bytes = "performance.getEntriesByType('navigation')[0].decodedBodySize";
    let (took, bytes) = (took.as_f64().unwrap(), browser.value(bytes));
    println!("500 accounts: {bytes} bytes, a search takes {took:.1} ms");
    assert_eq!(browser.value(LINES), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_more_accounts_than_are_shown_each_search_finds_all() {
    let names: Vec<_> = (0..1200).map(|number| format!("shop_{number:04}")).collect();
    let fake = FakeRelay::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let Some((mut browser, _served)) = opened(&fake, "/?q=1100").await else { return };
    browser.until("the one is there", &format!("{LINES} === 1"));
    let search = |browser: &mut Browser, text: &str| {
        let typed = "document.getElementById('search').dispatchEvent(new Event('input'))";
        browser.value(&format!("document.getElementById('search').value = '{text}'; {typed}"));
    };
    for (text, lines) in [("11", 120), ("110", 12), ("1100", 1), ("", 1000), ("1199", 1)] {
        search(&mut browser, text);
        browser.until(text, &format!("{LINES} === {lines}"));
    }
}

/// A picture of the documentation.
struct Picture {
    name: &'static str,
    relay: fn() -> FakeRelay,
    size: (u32, u32),
    is_dark: bool,
    target: &'static str,
}

impl Picture {
    const fn new(name: &'static str, relay: fn() -> FakeRelay, size: (u32, u32), target: &'static str) -> Self {
        Self { name, relay, size, is_dark: false, target }
    }
}

const PICTURES: [Picture; 6] = [
    Picture::new("page-fresh", calm, (1280, 560), "/?lang=en"),
    Picture::new("page-failing", refused_ip, (1280, 750), "/?lang=en"),
    Picture::new("page-failing.zh-CN", refused_ip, (1280, 750), "/?lang=zh-CN"),
    Picture { is_dark: true, ..Picture::new("page-dark", refused_ip, (1280, 1000), "/?lang=en") },
    Picture::new("page-phone", refused_ip, (390, 844), "/?lang=zh-CN"),
    Picture::new("page-500-accounts", many, (1280, 750), "/?lang=en"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_every_kind_of_page_are_taken() {
    for Picture { name, relay, size: (width, height), is_dark, target } in PICTURES {
        let fake = relay();
        let Some((mut browser, _served)) = opened(&fake, target).await else { return };
        browser.size(width, height);
        browser.prefer_dark(is_dark);
        if is_dark {
            browser.click("[data-name=main] .name b");
            browser.until("it is unfolded", "document.querySelector('[data-name=main]').open");
        }
        let picture = browser.picture();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{name}: {} bytes", picture.len());
        if env::var("TOKEN_RELAY_SCREENSHOTS").is_ok() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/{name}.png"));
            browser.save_picture(&path);
        }
    }
}
