//! What does the query of a request say?

use std::{borrow::Cow, time::Duration};

use super::problem::Problem;
use crate::{credential::TicketKind, language::Language};

/// The longest long poll. Shorter than `server.header_timeout`, and than the idle time-outs of most proxies.
pub(super) const LONGEST_WAIT: u64 = 60;

const BAD_ESCAPE: &str = "the query holds a broken escape, a control character or bytes that are not UTF-8";

/// The parameter `account`: a name, or `None` where it is absent.
pub(super) fn account(query: Option<&str>) -> Result<Option<Cow<'_, str>>, Problem> {
    match only(query, "account", "account is given more than once")? {
        Some(name) if name.is_empty() => Err(Problem::BadQuery("account is empty")),
        name => Ok(name),
    }
}

/// The parameter `type`: which ticket.
pub(super) fn ticket_kind(query: Option<&str>) -> Result<TicketKind, Problem> {
    match kind(query)? {
        None => Err(Problem::BadQuery("type is missing: jsapi, wx_card or agent_config")),
        Some(kind) => kind.parse().map_err(|_| Problem::BadQuery("type is none of jsapi, wx_card and agent_config")),
    }
}

/// The parameter `type`: for which of the JS-SDK's calls, by the ticket that it is signed with.
pub(super) fn signed_for(query: Option<&str>) -> Result<TicketKind, Problem> {
    let Some(kind) = kind(query)? else { return Ok(TicketKind::Jsapi) };
    let of_pages = kind.parse().ok().filter(|kind| TicketKind::OF_PAGES.contains(kind));
    of_pages.ok_or(Problem::BadQuery("type is neither jsapi nor agent_config: pages are signed with these two"))
}

fn kind(query: Option<&str>) -> Result<Option<Cow<'_, str>>, Problem> {
    only(query, "type", "type is given more than once")
}

/// The parameter `url`: a page.
pub(super) fn page_url(query: Option<&str>) -> Result<Cow<'_, str>, Problem> {
    only(query, "url", "url is given more than once: is it percent-encoded?")?
        .ok_or(Problem::BadQuery("url is missing: the page's, percent-encoded"))
}

/// The parameter `wait`: 0 to 60 whole seconds, or `None` where it is absent.
pub(super) fn wait(query: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(wait) = only(query, "wait", "wait is given more than once")? else { return Ok(None) };
    // `parse` alone would take a leading plus sign.
    let seconds = if wait.bytes().all(|byte| byte.is_ascii_digit()) { wait.parse().ok() } else { None };
    match seconds {
        Some(seconds) if seconds <= LONGEST_WAIT => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(Problem::BadQuery("wait is not an integer from 0 to 60")),
    }
}

/// The parameter `lang`: a language of the page. Another one counts as none.
pub(super) fn language(query: Option<&str>) -> Result<Option<Language>, Problem> {
    let tag = only(query, "lang", "lang is given more than once")?;
    Ok(tag.as_deref().and_then(Language::of_tag))
}

/// The parameter `q`: a part of an account's name; empty where it is absent.
pub(super) fn wanted(query: Option<&str>) -> Result<Cow<'_, str>, Problem> {
    Ok(only(query, "q", "q is given more than once")?.unwrap_or_default())
}

/// The value of the parameter `wanted`; `repeated` is what is wrong where it is given twice. All others are decoded too, though they
/// are ignored: a query that cannot be read is refused whole.
fn only<'q>(query: Option<&'q str>, wanted: &str, repeated: &'static str) -> Result<Option<Cow<'q, str>>, Problem> {
    let mut found = None;
    for (name, value) in query.into_iter().flat_map(pairs) {
        let name = decode(name).ok_or(Problem::BadQuery(BAD_ESCAPE))?;
        let value = decode(value).ok_or(Problem::BadQuery(BAD_ESCAPE))?;
        if name == wanted && found.replace(value).is_some() {
            return Err(Problem::BadQuery(repeated));
        }
    }
    Ok(found)
}

/// The names and values, not yet decoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Undoes the escapes of a form: `%20` and `+`. What needs no change is not copied. `None`: a broken escape, a control
/// character, or bytes that are not UTF-8.
pub(super) fn decode(raw: &str) -> Option<Cow<'_, str>> {
    let text = if raw.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        Cow::Owned(unescape(raw.as_bytes())?)
    } else {
        Cow::Borrowed(raw)
    };
    (!text.chars().any(char::is_control)).then_some(text)
}

fn unescape(mut raw: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(raw.len());
    loop {
        match raw {
            [] => return String::from_utf8(text).ok(),
            [b'%', high, low, rest @ ..] => {
                text.push(hex(*high)? << 4 | hex(*low)?);
                raw = rest;
            }
            [b'%', ..] => return None,
            [b'+', rest @ ..] => {
                text.push(b' ');
                raw = rest;
            }
            [plain, rest @ ..] => {
                text.push(*plain);
                raw = rest;
            }
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whatever_is_escaped_around_it() {
        for query in ["account=main", "a=b&account=main", "acc%6Funt=m%61in", "account=main&=&&x"] {
            assert_eq!(account(Some(query)).unwrap().as_deref(), Some("main"), "{query}");
        }
        assert!(account(None).unwrap().is_none());
        assert!(account(Some("")).unwrap().is_none());
        assert!(account(Some("Account=main")).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_refused_wherever_it_stands() {
        let bad =
            ["account=%00", "x=%00", "account=%ff", "%ff=1", "account=%", "account=%4", "account=%zz", "account=%+1"];
        for query in bad {
            assert!(matches!(account(Some(query)), Err(Problem::BadQuery(_))), "{query}");
        }
    }

    #[test]
    fn an_account_is_given_once_and_not_empty() {
        for query in ["account=a&account=a", "account=a&acc%6funt=b", "account", "account=", "account=&account=a"] {
            assert!(matches!(account(Some(query)), Err(Problem::BadQuery(_))), "{query}");
        }
    }

    #[test]
    fn a_ticket_is_asked_for_by_exactly_one_of_its_names() {
        for kind in TicketKind::ALL {
            assert_eq!(ticket_kind(Some(&format!("a=b&type={}", kind.label()))).unwrap(), kind);
        }
        for query in ["", "type", "type=", "type=JSAPI", "type=agent", "type=jsapi&type=jsapi", "type=%zz"] {
            assert!(matches!(ticket_kind(Some(query)), Err(Problem::BadQuery(_))), "{query}");
        }
        assert!(ticket_kind(None).is_err());
        assert_eq!(signed_for(None).unwrap(), TicketKind::Jsapi);
        assert_eq!(signed_for(Some("type=agent_config")).unwrap(), TicketKind::AgentConfig);
        assert!(signed_for(Some("type=wx_card")).is_err());
    }

    #[test]
    fn a_wait_is_an_integer_from_0_to_60() {
        for (query, seconds) in [("wait=0", 0), ("wait=60", 60), ("x&wait=007", 7)] {
            assert_eq!(wait(Some(query)).unwrap(), Some(Duration::from_secs(seconds)));
        }
        assert!(wait(Some("account=main")).unwrap().is_none());
        let bad =
            ["wait=", "wait", "wait=61", "wait=-1", "wait=1.5", "wait=%2B5", "wait=+5", "wait=1s", "wait=1&wait=1"];
        for query in bad.into_iter().chain(["wait=99999999999999999999999", "wait=\u{0661}"]) {
            assert!(matches!(wait(Some(query)), Err(Problem::BadQuery(_))), "{query}");
        }
    }
}
