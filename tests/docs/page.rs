//! What is on a page: headings, code blocks, tables, links?

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A fenced block, without the indentation of its fence.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// A page, taken apart.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) blocks: Vec<Block>,
    /// Level and text.
    pub(crate) headings: Vec<(usize, String)>,
    /// Everything outside of code blocks.
    pub(crate) prose: String,
}

impl Page {
    pub(crate) fn of(markdown: &str) -> Self {
        let mut page = Self::default();
        let mut open: Option<(usize, Block)> = None;
        for line in markdown.lines() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some((indent, Block { language: language.to_owned(), text: String::new() }));
                }
                (Some(_), Some("")) => page.blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), _) => {
                    block.text += line.get(*indent..).unwrap_or_default();
                    block.text.push('\n');
                }
                (None, None) => page.prose_line(line),
            }
        }
        assert!(open.is_none(), "a code block has no end");
        page
    }

    /// The page in the file at `path` from the root.
    pub(crate) fn at(path: impl AsRef<Path>) -> Self {
        Self::of(&text_of(path))
    }

    fn prose_line(&mut self, line: &str) {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        if level > 0 && line[level..].starts_with(' ') {
            self.headings.push((level, line[level..].trim().to_owned()));
        }
        self.prose += line;
        self.prose.push('\n');
    }

    pub(crate) fn of_language<'a>(&'a self, language: &'a str) -> impl Iterator<Item = &'a str> {
        self.blocks.iter().filter(move |block| block.language == language).map(|block| block.text.as_str())
    }

    /// What stands between backticks.
    pub(crate) fn code_spans(&self) -> impl Iterator<Item = &str> {
        code_spans(&self.prose)
    }

    /// The rows of all tables, each as its cells.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        let rows = self.prose.lines().filter(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// The rows of the table whose first column is called `heading`.
    pub(crate) fn table(&self, heading: &str) -> Vec<Vec<&str>> {
        let start = format!("| {heading} |");
        let rows = self.prose.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// The anchors that GitHub makes of the headings.
    pub(crate) fn anchors(&self) -> BTreeSet<String> {
        let slug = |text: &String| {
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        self.headings.iter().map(|(_, text)| slug(text)).collect()
    }

    /// The targets of `[text](target)`.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
    }
}

pub(crate) fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The file at `path` from the root.
pub(crate) fn text_of(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page of the project, by its path from the root.
pub(crate) fn pages() -> BTreeMap<PathBuf, Page> {
    let in_directory = |directory: &str| {
        let found = fs::read_dir(root().join(directory)).unwrap();
        let paths = found.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    let directories = ["", "docs", "wechat-sim", "secrets", "demo", "examples/clients"];
    let paths = directories.into_iter().flat_map(in_directory);
    paths.map(|path| (path.strip_prefix(root()).unwrap().to_owned(), Page::at(path))).collect()
}

/// `docs/../README.md` is `README.md`.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        if part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}
