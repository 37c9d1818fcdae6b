//! Do the English and the Chinese pages say the same?

use std::path::{Path, PathBuf};

use crate::page::{Page, code_spans, pages, plain, text_of};

/// Pages for developers, or for one moment: the only ones without a Chinese twin.
const ENGLISH_ONLY: [&str; 9] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "demo/README.md",
    "docs/ARCHITECTURE.md",
    "docs/PERFORMANCE.md",
    "docs/RELEASE.md",
    "docs/RELIABILITY.md",
    "wechat-sim/README.md",
];

/// `docs/API.zh-CN.md` for `docs/API.md`.
fn twin_of(english: &Path) -> PathBuf {
    english.with_extension("zh-CN.md")
}

fn is_chinese(path: &Path) -> bool {
    path.to_str().unwrap().ends_with(".zh-CN.md")
}

/// Every page in both languages, with the English path.
fn pairs() -> Vec<(PathBuf, Page, Page)> {
    let mut pages = pages();
    let english: Vec<PathBuf> = pages.keys().filter(|path| !is_chinese(path)).cloned().collect();
    let pair = |path: PathBuf| {
        let chinese = pages.remove(&twin_of(&path))?;
        Some((path.clone(), pages.remove(&path)?, chinese))
    };
    english.into_iter().filter_map(pair).collect()
}

#[test]
fn every_page_that_operators_read_has_its_chinese_twin() {
    let pages = pages();
    for path in pages.keys() {
        let name = path.to_str().unwrap();
        if let Some(english) = name.strip_suffix(".zh-CN.md") {
            assert!(pages.contains_key(Path::new(&format!("{english}.md"))), "{name} has no English twin");
        } else {
            let has_twin = pages.contains_key(&twin_of(path));
            assert_ne!(has_twin, ENGLISH_ONLY.contains(&name), "{name}: a Chinese twin, or a place in ENGLISH_ONLY");
        }
    }
    for name in ENGLISH_ONLY {
        assert!(pages.contains_key(Path::new(name)), "{name} does not exist");
    }
    assert_eq!(pairs().len() * 2 + ENGLISH_ONLY.len(), pages.len());
}

#[test]
fn both_languages_have_the_same_headings_and_the_same_code() {
    for (path, english, chinese) in pairs() {
        let path = path.display();
        let levels = |page: &Page| page.headings.iter().map(|(level, _)| *level).collect::<Vec<_>>();
        assert_eq!(levels(&english), levels(&chinese), "{path}: {:#?}\n{:#?}", english.headings, chinese.headings);
        assert_eq!(english.blocks.len(), chinese.blocks.len(), "{path}: code blocks");
        for (ours, theirs) in english.blocks.iter().zip(&chinese.blocks) {
            assert_eq!(ours.language, theirs.language, "{path}");
            // A picture is made of words.
            let same = ours.language == "mermaid" || ours.text == theirs.text;
            assert!(same, "{path}: {}\n{}", ours.text, theirs.text);
        }
    }
}

/// A row says the same where it begins with the same code and has as many cells.
#[test]
fn both_languages_have_the_same_table_rows() {
    let mut compared = 0;
    for (path, english, chinese) in pairs() {
        let path = path.display();
        let (ours, theirs) = (english.rows(), chinese.rows());
        assert_eq!(ours.len(), theirs.len(), "{path}: rows of tables");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.len(), theirs.len(), "{path}: cells of {ours:?} and {theirs:?}");
            assert_eq!(code_spans(ours[0]).next(), code_spans(theirs[0]).next(), "{path}: {ours:?} and {theirs:?}");
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} rows were compared");
}

#[test]
fn a_page_links_to_its_twin_and_otherwise_stays_in_its_language() {
    let pages = pages();
    for (english, ours, theirs) in pairs() {
        for (path, twin, page) in [(&english, twin_of(&english), &ours), (&twin_of(&english), english.clone(), &theirs)]
        {
            let name = twin.file_name().unwrap().to_str().unwrap();
            let first_link = page.links().next();
            assert_eq!(first_link, Some(name), "{}: the first link leads to the other language", path.display());
            for link in page.links().skip(1).filter(|link| !link.contains("://")) {
                let file = link.split_once('#').map_or(link, |(file, _)| file);
                let target = plain(&path.parent().unwrap().join(file));
                let strays = if is_chinese(path) { pages.contains_key(&twin_of(&target)) } else { is_chinese(&target) };
                assert!(!strays, "{}: {link} leads to the other language", path.display());
            }
        }
    }
}

#[test]
fn a_readme_has_at_most_300_lines() {
    for path in ["README.md", "README.zh-CN.md"] {
        let lines = text_of(path).lines().count();
        assert!(lines <= 300, "{path} has {lines} lines");
    }
}

/// `**text：**more` is shown with its asterisks: bold text that ends in punctuation must not be followed by a letter.
#[test]
fn bold_text_in_chinese_is_shown_bold() {
    for (path, _, chinese) in pairs() {
        for line in chinese.prose.lines() {
            let parts: Vec<&str> = line.split("**").collect();
            assert_eq!(parts.len() % 2, 1, "{}: bold text without an end in {line}", twin_of(&path).display());
            for (bold, after) in parts.iter().skip(1).step_by(2).zip(parts.iter().skip(2).step_by(2)) {
                let ends_in_a_word = bold.chars().next_back().is_some_and(char::is_alphanumeric);
                let a_word_follows = after.chars().next().is_some_and(char::is_alphanumeric);
                assert!(ends_in_a_word || !a_word_follows, "{}: {line}", twin_of(&path).display());
            }
        }
    }
}
