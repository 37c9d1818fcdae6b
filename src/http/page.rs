//! How does the status look to a person at three in the morning?
//!
//! One page without scripts or anything from elsewhere: what is wrong comes first, with what to do about it.

use std::fmt::{self, Display, Write};

use super::overview::{Detail, Overview, Trouble};
use crate::{
    clock::WallTime,
    status::{Readiness, Value},
};

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
pub(super) fn render(overview: &Overview, now: WallTime) -> String {
    let mut page = String::with_capacity(4096);
    write(&mut page, overview, now).expect("writing to a string does not fail");
    page
}

fn write(page: &mut String, overview: &Overview, now: WallTime) -> fmt::Result {
    let severity = match overview.status {
        Readiness::Ready => Severity::Fine,
        Readiness::Degraded => Severity::Watch,
        Readiness::Unready => Severity::Bad,
    };
    let word = overview.status.as_str();
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>token-relay: {word}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"10\">\
         <style>{STYLE}</style></head><body><h1>token-relay: <b class=\"{severity}\">{word}</b></h1>\
         <p><small>version {}, up {}, as of {now}, renewed every 10 s; \
         <a href=\"status\">status</a> <a href=\"metrics\">metrics</a></small></p>",
        Escaped(overview.version),
        HumanDuration(overview.uptime_s),
    )?;
    for (name, silence) in &overview.silent_keepers_s {
        let (name, silence) = (Escaped(name), HumanDuration(*silence));
        write!(page, "<section class=\"bad\"><p>The keeper of <b>{name}</b> is silent for {silence}.</p></section>")?;
    }
    // What is wrong first; the order of the names is kept within.
    for wanted in [Severity::Bad, Severity::Watch, Severity::Fine] {
        for (name, detail) in overview.accounts.iter().filter(|(_, detail)| Severity::of(detail) == wanted) {
            write_account(page, name, detail)?;
        }
    }
    page.write_str("</body></html>\n")
}

fn write_account(page: &mut String, name: &str, detail: &Detail) -> fmt::Result {
    let (severity, state, status) = (Severity::of(detail), detail.state().as_str(), detail.status());
    write!(page, "<section class=\"{severity}\"><h2>{}: <b class=\"{severity}\">{state}</b></h2>", Escaped(name))?;
    if let Some(Trouble { errcode, message, hint, at }) = status.trouble.as_deref().map(Trouble::of) {
        let errcode = errcode.map(|errcode| format!("errcode {errcode}, ")).unwrap_or_default();
        let (message, hint) = (Escaped(&message), Escaped(&hint));
        write!(page, "<p>{message} <small>{errcode}at {at}</small></p><p class=\"hint\">{hint}</p>")?;
    }
    if let Some(trouble) = &status.store_trouble {
        write!(page, "<p>The record cannot be stored: {}</p>", Escaped(&trouble.to_string()))?;
    }
    if let Some(at) = status.ended_by_others_at {
        write!(
            page,
            "<p>Another caller fetches tokens for this appid: the token was found dead, and no call of this relay had ended it. \
             <small>at {at}</small></p><p class=\"hint\">Find who else has the AppSecret, or reset it.</p>"
        )?;
    }
    page.write_str("<dl>")?;
    for (label, value) in detail.labelled() {
        write!(page, "<div><dt>{label}</dt><dd>{value}</dd></div>")?;
    }
    page.write_str("</dl></section>")
}

/// As the page shows it. The words of a value are our own: they need no escaping.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => HumanDuration(*seconds).fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Flag(is_so) => f.write_str(if *is_so { "yes" } else { "no" }),
            Self::Absent(word) => f.write_str(word),
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    Fine,
    Watch,
    Bad,
}

impl Severity {
    fn of(detail: &Detail) -> Self {
        if !detail.state().is_served() {
            Self::Bad
        } else if detail.status().trouble.is_some() || detail.status().store_trouble.is_some() {
            Self::Watch
        } else {
            Self::Fine
        }
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "fine",
            Self::Watch => "watch",
            Self::Bad => "bad",
        })
    }
}

/// Text from elsewhere, escaped for HTML.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
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
struct HumanDuration(u64);

impl Display for HumanDuration {
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
    fn a_duration_is_shown_in_its_two_largest_units() {
        let said = [0, 59, 61, 7199, 90_000].map(|seconds| HumanDuration(seconds).to_string());
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 59 min", "1 d 1 h"]);
    }

    #[test]
    fn text_from_elsewhere_is_escaped() {
        assert_eq!(Escaped("<a href='x'>\"&").to_string(), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
