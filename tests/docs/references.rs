//! Do the files, tests, log lines and links exist that the pages name?

use std::{collections::BTreeSet, fs, path::Path};

use crate::page::{Page, pages, plain, root};

/// Whether a code span is the name of a test: a sentence.
fn is_sentence(span: &str) -> bool {
    let plain = span.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    plain && span.matches('_').count() >= 4 && !span.starts_with("token_relay_")
}

/// The text of every Rust file below `directory`.
fn files_in(directory: &Path, files: &mut Vec<String>) {
    for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files_in(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The same in one text.
fn code_in(directory: &Path) -> String {
    let mut files = Vec::new();
    files_in(directory, &mut files);
    files.concat()
}

#[test]
fn the_documents_name_files_and_tests_that_exist() {
    let code: String =
        ["src", "tests", "wechat-sim", "model"].map(|directory| code_in(&root().join(directory))).concat();
    let documents = pages().into_iter().filter(|(path, _)| path.starts_with("docs"));
    let (mut files, mut tests, mut missing) = (0, 0, Vec::new());
    for span in documents.flat_map(|(_, page)| page.code_spans().map(str::to_owned).collect::<Vec<_>>()) {
        let span = span.as_str();
        if ["src/", "tests/", "wechat-sim/", "model/"].iter().any(|directory| span.starts_with(directory)) {
            assert!(root().join(span).exists(), "{span} does not exist");
            files += 1;
        } else if is_sentence(span) {
            missing.extend((!code.contains(&format!("fn {span}("))).then(|| span.to_owned()));
            tests += 1;
        }
    }
    assert!(missing.is_empty(), "there is no test {missing:?}");
    assert!(files > 20 && tests > 20, "only {files} files and {tests} tests were found");
}

/// A code span like `Machine::step`, and no path of modules: the type, and what it has.
fn type_and_item(span: &str) -> Option<(&str, &str)> {
    let (of, item) = span.split_once("::")?;
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (of.starts_with(|first: char| first.is_ascii_uppercase()) && is_name(of) && is_name(item)).then_some((of, item))
}

#[test]
fn what_the_documents_say_of_a_type_is_in_its_file() {
    let mut files = Vec::new();
    files_in(&root().join("src"), &mut files);
    let (mut checked, mut missing) = (0, Vec::new());
    for (path, page) in pages() {
        for (of, item) in page.code_spans().filter_map(type_and_item) {
            let has_both = |code: &String| {
                ["impl", "enum", "struct", "trait"].iter().any(|kind| code.contains(&format!("{kind} {of} ")))
                    && ["fn {}(", "fn {}<", "    {}", "pub {}: "]
                        .iter()
                        .any(|item_is| code.contains(&item_is.replace("{}", item)))
            };
            missing.extend((!files.iter().any(has_both)).then(|| format!("{}: {of}::{item}", path.display())));
            checked += 1;
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(checked > 10, "only {checked} were found");
}

/// Rows of the table whose first column is called "log line" begin with the words of a line.
#[test]
fn every_log_line_that_a_page_shows_is_in_the_code() {
    let code = code_in(&root().join("src"));
    for (page, heading) in [("docs/CLUSTER.md", "log line"), ("docs/CLUSTER.zh-CN.md", "日志")] {
        let page = Page::at(page);
        let rows = page.table(heading);
        for row in &rows {
            let line = row[0].trim_matches('`');
            assert!(code.contains(line), "no line says {line}");
        }
        assert!(rows.len() >= 10, "only {} lines were found", rows.len());
    }
}

/// What follows `-f` in a line for compose.
#[test]
fn every_compose_file_that_a_page_names_exists() {
    let mut checked = 0;
    for (path, page) in pages() {
        let blocks = page.blocks.iter().flat_map(|block| block.text.lines());
        let lines = blocks.chain(page.code_spans()).filter(|line| line.contains("compose "));
        for file in lines.flat_map(|line| line.split(" -f ").skip(1)).filter_map(|rest| rest.split(' ').next()) {
            assert!(root().join(file).exists(), "{}: {file}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} were found");
}

#[test]
fn every_script_that_a_page_runs_exists() {
    let pages = pages();
    let lines = pages.values().flat_map(|page| page.of_language("sh").flat_map(str::lines));
    let scripts: BTreeSet<&str> =
        lines.filter_map(|line| line.split(' ').next()).filter(|word| word.starts_with('.')).collect();
    assert!(scripts.contains("./test.sh"), "{scripts:?}");
    for script in scripts {
        assert!(root().join(script).is_file(), "{script}");
    }
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    for (path, page) in &pages {
        for link in page.links().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { plain(&path.parent().unwrap().join(file)) };
            assert!(root().join(&target).exists(), "{}: {link} does not exist", path.display());
            let anchors = pages.get(&target).map(Page::anchors).unwrap_or_default();
            assert!(
                anchor.is_empty() || anchors.contains(anchor),
                "{}: no anchor {link} in {anchors:?}",
                path.display()
            );
        }
    }
}
