//! How does the status look to a person at three in the morning?
//!
//! One page without scripts or anything from elsewhere: what is wrong comes first, with what to do about it.

use std::fmt::{self, Display, Write};

use super::{
    admin::Overview,
    view::{Readiness, View},
};
use crate::clock::WallTime;

/// Nothing may be loaded or run, and the page may not be framed.
pub(super) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark;--fine:#1a7f37;--watch:#9a6700;--bad:#cf222e;--line:#8884}\
@media(prefers-color-scheme:dark){:root{--fine:#3fb950;--watch:#d29922;--bad:#ff7b72}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.15rem;margin:0}p{margin:.25rem 0}\
section{border:1px solid var(--line);border-left:.4rem solid;border-radius:.4rem;padding:.8rem 1rem;margin:1rem 0}\
.fine{border-left-color:var(--fine)}.watch{border-left-color:var(--watch)}.bad{border-left-color:var(--bad)}\
b.fine{color:var(--fine)}b.watch{color:var(--watch)}b.bad{color:var(--bad)}\
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.5rem;margin:.6rem 0 0}\
dt{font-size:.8rem;opacity:.75}dd{margin:0;font-variant-numeric:tabular-nums}\
.hint{font-weight:600}small{opacity:.75}";

/// The page, as of `now`.
pub(super) fn render(overview: &Overview<'_>, now: WallTime) -> String {
    let mut page = String::with_capacity(4096);
    write(&mut page, overview, now).expect("writing to a string does not fail");
    page
}

fn write(page: &mut String, overview: &Overview<'_>, now: WallTime) -> fmt::Result {
    let mood = match overview.status {
        Readiness::Ready => Mood::Fine,
        Readiness::Degraded => Mood::Watch,
        Readiness::Unready => Mood::Bad,
    };
    let word = overview.status.word();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>token-relay: {word}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"10\">\
         <style>{STYLE}</style></head><body><h1>token-relay: <b class=\"{mood}\">{word}</b></h1>\
         <p><small>version {}, up {}, as of {now}, renewed every 10 s; \
         <a href=\"status\">status</a> <a href=\"metrics\">metrics</a></small></p>",
        Text(overview.version),
        Span(overview.uptime_s),
    )?;
    for (name, silence) in &overview.silent_keepers_s {
        let (name, silence) = (Text(name), Span(*silence));
        write!(page, "<section class=\"bad\"><p>The keeper of <b>{name}</b> is silent for {silence}.</p></section>")?;
    }
    // What is wrong first; the order of the names is kept within.
    for wanted in [Mood::Bad, Mood::Watch, Mood::Fine] {
        for (name, view) in overview.accounts.iter().filter(|(_, view)| Mood::of(view) == wanted) {
            write_account(page, name, view)?;
        }
    }
    page.write_str("</body></html>\n")
}

fn write_account(page: &mut String, name: &str, view: &View) -> fmt::Result {
    let (mood, state) = (Mood::of(view), view.state.word());
    write!(page, "<section class=\"{mood}\"><h2>{}: <b class=\"{mood}\">{state}</b></h2>", Text(name))?;
    if let Some(trouble) = &view.trouble {
        let errcode = trouble.errcode.map(|errcode| format!("errcode {errcode}, ")).unwrap_or_default();
        let (message, hint, at) = (Text(&trouble.message), Text(&trouble.hint), Text(&trouble.at));
        write!(page, "<p>{message} <small>{errcode}at {at}</small></p><p class=\"hint\">{hint}</p>")?;
    }
    if let Some(trouble) = &view.store_trouble {
        write!(page, "<p>The record cannot be stored: {}</p>", Text(trouble))?;
    }
    page.write_str("<dl>")?;
    item(page, "token lives for", Span(view.seconds_left))?;
    item(page, "rotation in", view.rotation_in_s.map_or("not planned".to_owned(), |left| Span(left).to_string()))?;
    item(page, "next call in", view.next_call_in_s.map_or("under way".to_owned(), |left| Span(left).to_string()))?;
    item(page, "failures in a row", view.failures)?;
    item(page, "calls left today", view.budget_left.calls)?;
    item(page, "forced left today", view.budget_left.forced)?;
    item(page, "probes left today", view.budget_left.probes)?;
    item(page, "generation", view.generation.map_or("none".to_owned(), |generation| generation.to_string()))?;
    page.write_str("</dl></section>")
}

/// `value` must be text of our own: it is not escaped.
fn item(page: &mut String, term: &str, value: impl Display) -> fmt::Result {
    write!(page, "<div><dt>{term}</dt><dd>{value}</dd></div>")
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    Watch,
    Bad,
}

impl Mood {
    fn of(view: &View) -> Self {
        if !view.state.is_served() {
            Self::Bad
        } else if view.trouble.is_some() || view.store_trouble.is_some() {
            Self::Watch
        } else {
            Self::Fine
        }
    }
}

impl Display for Mood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "fine",
            Self::Watch => "watch",
            Self::Bad => "bad",
        })
    }
}

/// Text from elsewhere, escaped for HTML.
struct Text<'t>(&'t str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            plain => f.write_char(plain),
        })
    }
}

/// Seconds as people say them: the two largest units.
struct Span(u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes, seconds) = (self.0 / 86400, self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {seconds} s"),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let said = [0, 59, 61, 7199, 90_000].map(|seconds| Span(seconds).to_string());
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 59 min", "1 d 1 h"]);
    }

    #[test]
    fn text_from_elsewhere_is_escaped() {
        assert_eq!(Text("<a href='x'>\"&").to_string(), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
