//! Is a path and a query written in one spelling, and where in it do the parameters stand?

use std::{fmt::Write, ops::Range};

use crate::{http::query, metrics::GatewayRefusal};

/// The names that a rule depends on. Written with an escape they would be one thing here and another at WeChat.
const NAMES: [&str; 3] = ["access_token", "appid", "secret"];

/// The path, if every reader takes it for the same: no escape, no empty or dotted segment, no backslash, no parameter. WeChat's
/// API has no path that would need one.
pub(super) fn path(path: &str) -> Result<&str, GatewayRefusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let rest = path.strip_prefix('/').ok_or(GatewayRefusal::Malformed)?;
    let mut segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
    let good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    if rest.is_empty() || segments.all(good) { Ok(path) } else { Err(GatewayRefusal::Misspelt) }
}

/// A query whose names can be relied on. Its bytes stay as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'r>(&'r str);

impl<'r> Query<'r> {
    /// The query of a request.
    pub(super) fn read(query: Option<&'r str>) -> Result<Self, GatewayRefusal> {
        let raw = query.unwrap_or_default();
        let twin = |name: &str| {
            let decoded = query::decode(name);
            name.contains(['%', '+']) && decoded.is_none_or(|decoded| NAMES.contains(&decoded.trim()))
        };
        if pairs(raw).any(|(name, _)| twin(name)) { Err(GatewayRefusal::Misspelt) } else { Ok(Self(raw)) }
    }

    /// Where the value of `name` stands; `None` where the name does not occur. More than once is refused.
    pub(super) fn find(self, name: &str) -> Result<Option<Range<usize>>, GatewayRefusal> {
        let mut found = pairs(self.0).filter(|(given, _)| *given == name).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(GatewayRefusal::Misspelt),
        }
    }

    /// The decoded value of `name`. An empty one counts as none.
    pub(super) fn text(self, name: &str) -> Result<Option<(String, Range<usize>)>, GatewayRefusal> {
        let Some(place) = self.find(name)?.filter(|place| !place.is_empty()) else { return Ok(None) };
        let text = query::decode(&self.0[place.clone()]).ok_or(GatewayRefusal::Misspelt)?.into_owned();
        Ok(Some((text, place)))
    }
}

/// The names, and where their values stand.
fn pairs(raw: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut from = 0;
    raw.split('&').map(move |pair| {
        let start = from;
        from += pair.len() + 1;
        let (name, value) =
            pair.split_once('=').map_or((pair, start + pair.len()), |(name, _)| (name, start + name.len() + 1));
        (name, value..start + pair.len())
    })
}

/// Where something is put into a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In place of the value that stands here.
    Value(Range<usize>),
    /// As a parameter `access_token` of its own, at the end.
    End,
}

/// The query with `value` at `place`, and every other byte as it was.
pub(super) fn with(raw: Option<&str>, place: &Place, value: &str) -> String {
    let raw = raw.unwrap_or_default();
    let value = escaped(value);
    match place {
        // `access_token` without an equals sign has an empty value at its end, too.
        Place::Value(range) => {
            let equals = if range.is_empty() && !raw[..range.start].ends_with('=') { "=" } else { "" };
            [&raw[..range.start], equals, &value, &raw[range.end..]].concat()
        }
        Place::End if raw.is_empty() => ["access_token=", &value].concat(),
        Place::End => [raw, "&access_token=", &value].concat(),
    }
}

/// As a value in a query: what is not a letter, a digit or one of `-._~` is escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn a_path_has_one_spelling() {
        for good in ["/", "/a", "/a/", "/cgi-bin/message/custom/send", "/wxa/a.b~c_d", "/..a"] {
            assert_eq!(path(good), Ok(good));
        }
        for bad in [
            "//", "//a", "/a//b", "/a//", "/./a", "/a/..", "/a/../b", "/sns%2Fa", "/%73ns", "/a;b", "/a\\b", "/é",
            "/a+b",
        ] {
            assert_eq!(path(bad), Err(GatewayRefusal::Misspelt), "{bad}");
        }
        for bad in ["", "*", "a"] {
            assert_eq!(path(bad), Err(GatewayRefusal::Malformed), "{bad}");
        }
    }

    #[test]
    fn an_escaped_twin_of_a_name_and_a_broken_one_are_refused_and_others_are_not_read() {
        for bad in
            ["%61ppid=1", "a=1&access%5Ftoken=x", "secre%74", "acc%zzess_token=1", "%=1", "+secret=1", "secret%20=1"]
        {
            assert!(Query::read(Some(bad)).is_err(), "{bad}");
        }
        for good in ["", "a%20b=1", "&&=&x", "appid=%zz", "x=%61ccess_token", "Access_Token=1"] {
            assert!(Query::read(Some(good)).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_value_is_replaced_where_it_stands_and_a_missing_one_is_added() {
        for (raw, expected) in [
            (None, "access_token=a%26b"),
            (Some(""), "access_token=a%26b"),
            (Some("x='1'&y"), "x='1'&y&access_token=a%26b"),
            (Some("access_token=old&x=%61"), "access_token=a%26b&x=%61"),
            (Some("x&access_token=&y"), "x&access_token=a%26b&y"),
            (Some("x&access_token&y"), "x&access_token=a%26b&y"),
        ] {
            let place = Query::read(raw).unwrap().find("access_token").unwrap().map_or(Place::End, Place::Value);
            assert_eq!(with(raw, &place, "a&b"), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_what_a_reader_finds_there_and_nothing_else_changes(
            before in "[a-z=%&+']{0,20}", after in "[a-z=%&+']{0,20}", token in "[!-~]{1,40}",
        ) {
            let raw = format!("{before}&access_token=old&{after}");
            let Ok(query) = Query::read(Some(&raw)) else { return Ok(()) };
            let place = Place::Value(query.find("access_token").unwrap().unwrap());
            let new = with(Some(&raw), &place, &token);
            prop_assert!(new.starts_with(&format!("{before}&access_token=")), "{}", new);
            prop_assert!(new.ends_with(&format!("&{after}")), "{}", new);
            let (found, _) = Query::read(Some(&new)).unwrap().text("access_token").unwrap().unwrap();
            prop_assert_eq!(found, token);
        }
    }
}
