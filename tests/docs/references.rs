//! Do the files, tests, log lines and links exist that the pages name?

use std::{collections::BTreeSet, fs, path::Path};

use crate::page::{Page, pages, plain, root};

/// Whether a code span is the name of a test: a sentence.
fn is_sentence(span: &str) -> bool {
    let plain = span.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    plain && span.matches('_').count() >= 4 && !span.starts_with("token_relay_")
}

/// All Rust code below `directory`, in one text.
fn code_in(directory: &Path) -> String {
    let mut code = String::new();
    for path in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            code += &code_in(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code += &fs::read_to_string(path).unwrap();
        }
    }
    code
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
