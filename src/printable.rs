//! What may a log line quote of a text from elsewhere?

use std::error::Error;

const REDACTED: &str = "[redacted]";

/// `text` for a log line: unprintable characters are dropped, each text in `hidden` is replaced in whatever case, and at
/// most `longest` characters remain. In this order: dropping a character may put a secret together, and cutting may
/// leave a part of one.
pub(crate) fn printable(text: &str, hidden: &[&str], longest: usize) -> String {
    let mut clean: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| is_printable(*c)).collect();
    for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
        clean = without(&clean, secret);
    }
    clean.chars().take(longest).collect()
}

/// An error and its causes, each told once.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = next.source();
    }
    told
}

/// Not a control, a direction mark, an invisible or an unassigned character: `escape_debug` knows Unicode's tables.
fn is_printable(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1
}

fn without(text: &str, secret: &str) -> String {
    let (text_lower, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    // ASCII lower case keeps every byte's place, so the places found are places in `text`.
    for (at, found) in text_lower.match_indices(&secret) {
        kept.push_str(&text[from..at]);
        kept.push_str(REDACTED);
        from = at + found.len();
    }
    kept.push_str(&text[from..]);
    kept
}
