//! Which languages do operators read? Logs and JSON are English; the page is English or Chinese.

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// Simplified Chinese (简体中文).
    Chinese,
}

/// A text in every language, worded once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bilingual {
    /// In English.
    pub english: &'static str,
    /// In simplified Chinese.
    pub chinese: &'static str,
}

impl Bilingual {
    /// One text in both languages.
    pub const fn new(english: &'static str, chinese: &'static str) -> Self {
        Self { english, chinese }
    }

    /// The text in `language`.
    pub const fn to(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Chinese => self.chinese,
        }
    }
}

impl Language {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// Its tag, as HTML and HTTP write it.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// The one that a tag names, of whatever region: `zh`, `zh-TW` and `zh-Hans` are Chinese.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default().trim();
        match () {
            () if primary.eq_ignore_ascii_case("en") => Some(Self::English),
            () if primary.eq_ignore_ascii_case("zh") => Some(Self::Chinese),
            () => None,
        }
    }

    /// The one that a browser prefers, by its `Accept-Language`. Browsers list the best first; of equal weights the first counts.
    pub fn preferred(accept_language: &str) -> Self {
        let weighted = accept_language.split(',').filter_map(|entry| {
            let (tag, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse().ok())?;
            Some((Self::of_tag(tag.trim())?, weight)).filter(|(_, weight): &(_, f32)| *weight > 0.0)
        });
        let best = weighted.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(language, _)| language).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_answered_in_the_language_that_it_prefers_of_the_two() {
        for (accepted, language) in [
            ("", Language::English),
            ("de-DE,de;q=0.9", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("zh-Hant-TW", Language::Chinese),
            ("ZH", Language::Chinese),
            ("en-US,en;q=0.9,zh-CN;q=0.8", Language::English),
            ("en;q=0.3, zh;q=0.7", Language::Chinese),
            ("fr, zh;q=0.1", Language::Chinese),
            ("zh;q=0, en;q=0.1", Language::English),
            ("zh;q=nonsense", Language::English),
            ("zhx, zen", Language::English),
        ] {
            assert_eq!(Language::preferred(accepted), language, "{accepted}");
        }
    }

    #[test]
    fn a_language_is_named_by_its_own_tag() {
        for language in Language::ALL {
            assert_eq!(Language::of_tag(language.tag()), Some(language));
        }
        assert_eq!(Language::of_tag(""), None);
    }
}
