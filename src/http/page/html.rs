//! How is the page written? Every text is escaped by `html!`.
//!
//! What the script fills in again is marked by `data-f`; of what may come to be it finds an empty one in a template.

use maud::{DOCTYPE, Markup, html};

use super::{
    super::AppState,
    View,
    lines::Line,
    severity::Severity,
    sheet::{Bar, Cell, Head, Row, Sheet, Shown, Tick},
    words,
};
use crate::{
    clock::WallTime,
    language::{Bilingual, Language},
};

/// The whole page.
pub(super) fn page(state: &AppState, view: &View) -> Markup {
    let sheet = Sheet::of(state, view);
    let language = view.language;
    let say = |text: Bilingual| text.to(language);
    html! {
        (DOCTYPE)
        html lang=(language.tag()) data-units=(say(words::UNITS)) data-version=(sheet.head.version) {
            head {
                meta charset="utf-8";
                title { (sheet.head.title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                link rel="stylesheet" href="page.css";
                script src="page.js" defer {}
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body.several[sheet.head.several] {
                (header(&sheet.head, view))
                p #lost role="alert" hidden { (say(words::LOST)) " " time {} }
                main {
                    (counts(&sheet.head, language))
                    (notices(&sheet.head, language))
                    (search(view))
                    (columns(language))
                    div #rows { @for account in &sheet.accounts { (row(&Row::of(account, language))) } }
                    p #none .quiet hidden[!sheet.accounts.is_empty()] { (say(words::NO_MATCH)) }
                    p #unseen .quiet { (sheet.head.unseen) }
                }
                (footer(state, &sheet.head, language))
                (templates())
            }
        }
    }
}

fn header(head: &Head, view: &View) -> Markup {
    let language = view.language;
    // anything else is in no account's name, and would have to be escaped
    let is_plain = view.wanted.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let kept = if view.wanted.is_empty() || !is_plain { String::new() } else { format!("&q={}", view.wanted) };
    html! {
        header {
            h1 { "token-relay" }
            span #status class={ "pill " (head.readiness) } { (head.status) }
            span #live .waiting {
                i.dot {}
                span.connecting { (words::CONNECTING.to(language)) }
                span.live { (words::LIVE.to(language)) }
            }
            nav {
                @for other in Language::ALL {
                    @let is_current = other == language;
                    @let name = match other { Language::English => "English", Language::Chinese => "中文" };
                    a href={ "?lang=" (other.tag()) (kept) } lang=(other.tag()) hreflang=(other.tag())
                        aria-current=[is_current.then_some("true")] { (name) }
                }
            }
        }
    }
}

fn counts(head: &Head, language: Language) -> Markup {
    html! {
        ul #counts {
            @for (place, severity) in Severity::ALL.iter().enumerate() {
                @let count = head.counts[place];
                @let class = [severity.class(), if count == 0 { " empty" } else { "" }].concat();
                li class=(class) title=(words::SERVED_HINTS[place].to(language)) {
                    b { (count) } " " span { (words::SERVED[place].to(language)) }
                }
            }
        }
    }
}

fn notices(head: &Head, language: Language) -> Markup {
    html! {
        section #todo aria-live="polite" hidden[head.notices.is_empty()] {
            h2 { (words::WHAT_TO_DO.to(language)) }
            div #notices { @for line in &head.notices { (notice(line)) } }
        }
    }
}

fn notice(line: &Line) -> Markup {
    html! {
        article class={ "notice " (line.severity.class()) } {
            h3 { i.dot {} span data-f="title" { (line.title) } span.names data-f="names" { (line.names) } }
            p data-f="advice" { (line.advice) }
        }
    }
}

fn search(view: &View) -> Markup {
    let label = words::SEARCH.to(view.language);
    html! {
        form role="search" method="get" {
            input type="hidden" name="lang" value=(view.language.tag());
            input #search type="search" name="q" value=(view.wanted) placeholder=(label) aria-label=(label)
                autocomplete="off" spellcheck="false";
            noscript { span.quiet { (words::WITHOUT_SCRIPT.to(view.language)) } }
        }
    }
}

fn columns(language: Language) -> Markup {
    let columns = [
        ("name", words::ACCOUNT),
        ("life", words::LIFE),
        ("renewal", words::RENEWAL),
        ("ticks", words::OF_LATE),
        ("calls", words::CALLS),
        ("lease", words::LEASE),
        ("state", words::STATE),
    ];
    html! {
        div.columns aria-hidden="true" {
            @for (class, text) in columns { span class=(class) { (text.to(language)) } }
        }
    }
}

/// The line of an account, and what is behind it.
fn row(row: &Row) -> Markup {
    let blank = Cell::default();
    let token = row.cells.first().unwrap_or(&blank);
    html! {
        details class={ "row " (row.severity.class()) } data-name=(row.name) {
            summary {
                span.name {
                    i.dot {}
                    b data-f="name" { (row.name) }
                    span.chips { @for cell in row.cells.iter().skip(1) { (chip(cell)) } }
                }
                span.life { (bar(&token.bar)) (shown("left", &token.left)) }
                span.renewal { (shown("renewal", &token.renewal)) }
                span.ticks { @for tick in &token.ticks { (self::tick(tick)) } }
                span.calls .many[row.many_calls] data-f="calls" { (row.calls) }
                span.lease data-f="lease" { (row.lease) }
                span.state { em data-f="state" { (token.state) } span data-f="brief" { (row.brief) } }
            }
            div.cells { @for cell in &row.cells { (self::cell(cell)) } }
        }
    }
}

fn chip(cell: &Cell) -> Markup {
    html! { span class={ "chip " (cell.severity.class()) } { (cell.kind) } }
}

fn cell(cell: &Cell) -> Markup {
    html! {
        section class={ "cell " (cell.severity.class()) } {
            div.top {
                h3 { i.dot {} span data-f="kind" { (cell.kind) } em data-f="state" { (cell.state) } }
                div.life { (bar(&cell.bar)) (shown("left", &cell.left)) }
                span.ticks { @for tick in &cell.ticks { (self::tick(tick)) } }
            }
            p.message data-f="message" { (cell.message) }
            p.advice data-f="advice" { (cell.advice) }
            dl { @for (label, value) in &cell.facts { (fact(label, value)) } }
        }
    }
}

fn fact(label: &str, value: &Shown) -> Markup {
    html! { div { dt data-f="label" { (label) } dd { (shown("value", value)) } } }
}

fn shown(field: &str, shown: &Shown) -> Markup {
    html! { span data-f=(field) data-ms=[shown.ms] { (shown.text) } }
}

/// The rest of a life, with a mark where the renewal is planned. Its widths are attributes: a policy that allows no inline style
/// allows them.
fn bar(bar: &Bar) -> Markup {
    let (left, mark) = (bar.share(bar.left), bar.share(bar.mark));
    html! {
        svg.bar viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" data-left=(bar.left) data-life=(bar.life) {
            rect.track width="1000" height="8" {}
            rect.left width=(left) height="8" {}
            rect.mark x=(mark) width=(if mark > 0 { 6 } else { 0 }) height="8" {}
        }
    }
}

fn tick(tick: &Tick) -> Markup {
    let at = WallTime::from_millis(tick.at);
    html! { i class=(tick.kind) title={ (at) " " (tick.text) } {} }
}

fn footer(state: &AppState, head: &Head, language: Language) -> Markup {
    let say = |text: Bilingual| text.to(language);
    html! {
        footer {
            span { (say(words::VERSION)) " " (head.version) }
            span { (say(words::UP)) " " (words::duration(language, state.uptime().as_secs())) }
            span { (say(words::AS_OF)) " " time #as-of { (state.clock.now().wall) } }
            a href="status" { "status" }
            a href="metrics" { "metrics" }
        }
    }
}

fn templates() -> Markup {
    html! {
        template #notice { (notice(&Line::default())) }
        template #row { (row(&Row::default())) }
        template #chip { (chip(&Cell::default())) }
        template #cell { (cell(&Cell::default())) }
        template #fact { (fact("", &Shown::default())) }
        template #tick { (tick(&Tick::default())) }
    }
}
