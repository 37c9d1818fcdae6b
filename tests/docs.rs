//! Is what the documents say true? Their code blocks are run, their names looked up, their links followed.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use token_relay::{
    clock::Timestamp,
    credential::CredentialId,
    metrics::Metrics,
    registry::Handles,
    settings::{Layers, Settings},
};
use tokio::process::{Child, Command};
use wechat_sim::{Kind, Op, Sim};

const ENGLISH: &str = include_str!("../README.md");
const CHINESE: &str = include_str!("../README.zh-CN.md");
const SHIPPED: &str = include_str!("../config/token-relay.toml");

const APPID: &str = "wx0000000000000001";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "trk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A fenced block, without the indentation of its fence.
struct Block {
    language: String,
    text: String,
}

/// A page, taken apart.
#[derive(Default)]
struct Page {
    blocks: Vec<Block>,
    /// Level and text.
    headings: Vec<(usize, String)>,
    prose: String,
}

impl Page {
    fn of(markdown: &str) -> Self {
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

    fn prose_line(&mut self, line: &str) {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        if level > 0 && line[level..].starts_with(' ') {
            self.headings.push((level, line[level..].trim().to_owned()));
        }
        self.prose += line;
        self.prose.push('\n');
    }

    fn of_language<'a>(&'a self, language: &'a str) -> impl Iterator<Item = &'a str> {
        self.blocks.iter().filter(move |block| block.language == language).map(|block| block.text.as_str())
    }

    /// What stands between backticks.
    fn code_spans(&self) -> impl Iterator<Item = &str> {
        self.prose.split('`').skip(1).step_by(2)
    }

    /// The anchors that GitHub makes of the headings.
    fn anchors(&self) -> BTreeSet<String> {
        let slug = |text: &String| {
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        self.headings.iter().map(|(_, text)| slug(text)).collect()
    }

    /// The targets of `[text](target)`.
    fn links(&self) -> impl Iterator<Item = &str> {
        self.prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the project, by its path from the root.
fn pages() -> BTreeMap<PathBuf, Page> {
    let in_directory = |directory: &str| {
        let found = fs::read_dir(root().join(directory)).into_iter().flatten();
        let paths = found.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    let paths = ["", "docs", "wechat-sim", "secrets", "demo"].into_iter().flat_map(in_directory);
    paths
        .map(|path| (path.strip_prefix(root()).unwrap().to_owned(), Page::of(&fs::read_to_string(path).unwrap())))
        .collect()
}

#[test]
fn both_languages_have_the_same_headings_and_the_same_code() {
    let (english, chinese) = (Page::of(ENGLISH), Page::of(CHINESE));
    let levels = |page: &Page| page.headings.iter().map(|(level, _)| *level).collect::<Vec<_>>();
    assert_eq!(levels(&english), levels(&chinese), "{:#?}\n{:#?}", english.headings, chinese.headings);
    assert_eq!(english.blocks.len(), chinese.blocks.len());
    for (ours, theirs) in english.blocks.iter().zip(&chinese.blocks) {
        assert_eq!(ours.language, theirs.language);
        // The picture is made of words.
        assert!(ours.language == "mermaid" || ours.text == theirs.text, "{}\n{}", ours.text, theirs.text);
    }
    let rows = |page: &Page| page.prose.lines().filter(|line| line.starts_with('|')).count();
    assert_eq!(rows(&english), rows(&chinese), "rows of tables");
}

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
    let code: String = ["src", "tests", "wechat-sim"].map(|directory| code_in(&root().join(directory))).concat();
    let documents = pages().into_iter().filter(|(path, _)| path.starts_with("docs"));
    let (mut files, mut tests, mut missing) = (0, 0, Vec::new());
    for span in documents.flat_map(|(_, page)| page.code_spans().map(str::to_owned).collect::<Vec<_>>()) {
        let span = span.as_str();
        if ["src/", "tests/", "wechat-sim/"].iter().any(|directory| span.starts_with(directory)) {
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
fn every_log_line_that_the_cluster_page_shows_is_in_the_code() {
    let code = code_in(&root().join("src"));
    let text = fs::read_to_string(root().join("docs/CLUSTER.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| log line |")).skip(2);
    let shown: Vec<&str> =
        rows.take_while(|row| row.starts_with('|')).filter_map(|row| row.split('`').nth(1)).collect();
    for line in &shown {
        assert!(code.contains(line), "no line says {line}");
    }
    assert!(shown.len() >= 10, "only {} lines were found", shown.len());
}

/// Redis's ACL line is documented where it is followed from; what is shown or shipped elsewhere is the same.
#[test]
fn the_acl_line_is_the_same_everywhere() {
    let line = |text: &str| {
        let found = text.lines().find_map(|line| Some(line.split_once("user relay on ")?.1.to_owned()));
        let found = found.unwrap_or_else(|| panic!("no ACL line in\n{text}"));
        found.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap()
    };
    let told = line(include_str!("../src/store/redis.rs"));
    assert!(told.contains("~token-relay:v1:*"));
    for text in [
        include_str!("../docs/CLUSTER.md"),
        include_str!("../secrets/README.md"),
        include_str!("../demo/secrets/redis_acl"),
    ] {
        assert_eq!(line(text), told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_for_redis_are_made_as_shown() {
    if !is_here("bash").await {
        return;
    }
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    let page = Page::of(include_str!("../secrets/README.md"));
    let block = page.of_language("sh").find(|block| block.contains("redis_acl")).unwrap().to_owned();
    let script = format!("set -euo pipefail\n{block}");
    let status = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).status().await.unwrap();
    assert!(status.success());
    let made = |name: &str| fs::read_to_string(directory.path().join("secrets").join(name)).unwrap();
    let (acl, url) = (made("redis_acl"), made("redis_url"));
    let password = url.split_once("relay:").unwrap().1.split_once('@').unwrap().0;
    assert_eq!(password.len(), 64);
    let shipped = include_str!("../demo/secrets/redis_acl");
    assert_eq!(acl, shipped.replace("demo-password-known-to-everyone-0123456789abcdef", password));
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

/// `docs/../README.md` is `README.md`.
fn plain(path: &Path) -> PathBuf {
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

/// `server.listen`, or `accounts.main.appid` for `accounts.NAME.appid`.
fn as_key(span: &str) -> Option<String> {
    let sections = ["server", "wechat", "refresh", "state", "log", "accounts", "clients"];
    let plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let (section, rest) = span.split_once('.').filter(|_| plain)?;
    sections.contains(&section).then(|| format!("{section}.{}", rest.replace("NAME", "main")))
}

#[test]
fn every_key_that_a_page_names_exists() {
    let mut checked = 0;
    for (path, page) in pages() {
        for key in page.code_spans().filter_map(as_key) {
            let variable = format!("TOKEN_RELAY__{}", key.replace('.', "__").to_uppercase());
            let layers = Layers::read(None, [(OsString::from(variable), OsString::from("x"))]).unwrap();
            layers.sound().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} keys were found");
}

#[test]
fn the_defaults_in_the_readme_are_those_of_the_shipped_file() {
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    let mut checked = 0;
    for page in [Page::of(ENGLISH), Page::of(CHINESE)] {
        for row in page.prose.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let Some((section, key)) =
                as_key(cells[1]).as_deref().and_then(|k| k.split_once('.')).map(|(s, k)| (s.to_owned(), k.to_owned()))
            else {
                continue;
            };
            if let Some(value) = shipped.get(&section).and_then(|table| table.get(&key)) {
                assert_eq!(value.as_str().unwrap(), cells[2], "{section}.{key}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 16, "only {checked} defaults were found");
}

/// The least that a block needs beside its own subject, unless it has accounts of its own.
const LEAST: [(&str, &str); 3] = [
    ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", APPID),
    ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET),
    ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY),
];

#[test]
fn every_block_of_toml_is_a_valid_settings_file() {
    let secrets = TempDir::new().unwrap();
    let mut count = 0;
    for (path, page) in pages() {
        for text in page.of_language("toml") {
            for name in text.split("\"/run/secrets/").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
                let secret = if name == "redis_url" { "redis://relay:password@redis.internal:6379/0" } else { KEY };
                fs::write(secrets.path().join(name), secret).unwrap();
            }
            let file = secrets.path().join("settings.toml");
            fs::write(&file, text.replace("/run/secrets", secrets.path().to_str().unwrap())).unwrap();
            let least = LEAST.iter().filter(|_| !text.contains("[accounts."));
            let env = least.map(|(name, value)| (OsString::from(name), OsString::from(value)));
            Settings::load(Some(&file), env).unwrap_or_else(|error| panic!("{}: {error} in\n{text}", path.display()));
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} blocks were found");
}

#[test]
fn every_block_of_json_is_json() {
    for (path, page) in pages() {
        for text in page.of_language("json") {
            let parsed = serde_json::from_str::<serde_json::Value>(text);
            assert!(parsed.is_ok(), "{}: {parsed:?}\n{text}", path.display());
        }
    }
}

/// What a scrape shows of one account.
fn scrape() -> String {
    let metrics = Metrics::new();
    metrics.credential(&CredentialId::access_token("main".parse().unwrap()));
    metrics.render(&Handles::default(), Timestamp::default(), Duration::ZERO)
}

/// The names of all metrics, as Prometheus stores them.
fn metrics() -> BTreeSet<String> {
    let page = scrape();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names of metrics in a text: `token_relay_…` in lower case.
fn named_metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("token_relay_")).collect()
}

#[test]
fn every_metric_that_a_page_names_exists_and_the_readme_names_them_all() {
    let metrics = metrics();
    for file in pages().keys() {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for name in named_metrics(&text) {
            assert!(metrics.contains(name), "{}: {name}", file.display());
        }
    }
    for text in [ENGLISH, CHINESE] {
        let named = named_metrics(text);
        assert_eq!(metrics.iter().filter(|name| !named.contains(name.as_str())).count(), 0, "{metrics:?}");
    }
}

/// The words of the label enums stand in the table of metrics.
#[test]
fn the_readme_names_every_outcome_and_budget() {
    let page = scrape();
    let samples = page.lines().filter_map(|line| line.split_once("account=\"main\","));
    for (name, rest) in samples {
        let name = name.trim_end_matches('{');
        let word = rest.split('"').nth(1).unwrap();
        for text in [ENGLISH, CHINESE] {
            let row =
                text.lines().find(|line| line.starts_with(&format!("| `{name}`"))).unwrap_or_else(|| panic!("{name}"));
            assert!(row.contains(&format!("`{word}`")), "{word} in {row}");
        }
    }
}

/// A simulated WeChat and a relay in front of it.
struct Stage {
    sim: Sim,
    relay: Child,
    url: String,
    _state: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let sim = Sim::builder().app(APPID, SECRET).lifetime(Duration::from_secs(600)).start().await.unwrap();
        let state = TempDir::new().unwrap();
        let log = state.path().join("log");
        let relay = Command::new(env!("CARGO_BIN_EXE_token-relay"))
            .env_clear()
            .env("TOKEN_RELAY__SERVER__LISTEN", "127.0.0.1:0")
            .env("TOKEN_RELAY__SERVER__ADMIN_LISTEN", "")
            .env("TOKEN_RELAY__WECHAT__BASE_URL", sim.base_url())
            .env("TOKEN_RELAY__WECHAT__FALLBACK_BASE_URL", "")
            .env("TOKEN_RELAY__REFRESH__OVERLAP", "10s")
            .env("TOKEN_RELAY__STATE__URL", format!("file:{}", state.path().join("state").display()))
            .env("TOKEN_RELAY__LOG__FORMAT", "json")
            .env("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", APPID)
            .env("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET)
            .env("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY)
            .stderr(fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = Self::told(&log).await;
        Self { sim, relay, url, _state: state }
    }

    /// Reads the log up to the first token; the first line tells the address.
    async fn told(log: &Path) -> String {
        for _ in 0..3000 {
            let text = fs::read_to_string(log).unwrap();
            let whole = text.lines().take(text.matches('\n').count());
            let events: Vec<serde_json::Value> = whole.map(|line| serde_json::from_str(line).unwrap()).collect();
            let said = |message: &str| events.iter().find(|event| event["message"] == message);
            if let (Some(start), Some(_)) = (said("token-relay serves"), said("token fetched")) {
                return format!("http://{}", start["listen"].as_str().unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no token within a minute: {}", fs::read_to_string(log).unwrap());
    }

    /// A program that sees the relay and WeChat where they are.
    fn program(&self, words: &[&str], directory: &Path) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
        command.env("RELAY_URL", &self.url).env("RELAY_KEY", KEY).env("WECHAT_URL", self.sim.base_url());
        command.env("no_proxy", "*").env("NO_PROXY", "*");
        command
    }
}

async fn is_here(program: &str) -> bool {
    // the one that does not know the flag
    let question = if program == "go" { "version" } else { "--version" };
    let output = Command::new(program).arg(question).stdin(Stdio::null()).output().await;
    let is_here = output.is_ok_and(|output| output.status.success());
    if !is_here {
        eprintln!("skipped: there is no {program} here");
    }
    is_here
}

/// Kills the served token behind the relay's back and runs the README's example: it must report and come through.
async fn example_survives_a_killed_token(language: &str, file: &str, words: &[&str]) {
    if !is_here(words[0]).await {
        return;
    }
    let page = Page::of(ENGLISH);
    let examples: Vec<&str> = page.of_language(language).collect();
    let [example] = examples[..] else { panic!("{} examples in {language}", examples.len()) };
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(file), example).unwrap();
    let mut stage = Stage::new().await;
    for _ in 0..2 {
        stage.sim.rotate_outside(APPID, Kind::Rotating);
    }
    let output = stage.program(words, directory.path()).output().await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("ip_list"), "{said}\n{complained}");
    assert_eq!(stage.sim.calls(Op::Token).len(), 2, "one call at the start and one for the report");
    stage.relay.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_reports_a_killed_token_and_comes_through() {
    example_survives_a_killed_token("python", "client.py", &["python3", "client.py"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_reports_a_killed_token_and_comes_through() {
    example_survives_a_killed_token("js", "client.mjs", &["node", "client.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_reports_a_killed_token_and_comes_through() {
    example_survives_a_killed_token("java", "Client.java", &["java", "Client.java"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_client_reports_a_killed_token_and_comes_through() {
    example_survives_a_killed_token("go", "main.go", &["go", "run", "main.go"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_client_reports_a_killed_token_and_comes_through() {
    if is_here("curl").await {
        example_survives_a_killed_token("bash", "client.sh", &["bash", "client.sh"]).await;
    }
}

/// Whether a line of a shell block can be run here: curl at the relay, or a command of the relay that ends.
fn can_run(line: &str) -> bool {
    let relay = line.starts_with("cargo run --release -- ");
    let curl = line.contains("curl ") && !line.contains("demo/secrets");
    relay || curl || line.starts_with("export ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_commands_do_what_they_show() {
    if !(is_here("bash").await && is_here("curl").await) {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut run = 0;
    for block in Page::of(ENGLISH).of_language("sh").filter(|block| block.lines().all(can_run)) {
        let stage = Stage::new().await;
        let here = block
            .replace("cargo run --release --", env!("CARGO_BIN_EXE_token-relay"))
            .replace("http://127.0.0.1:8080", &stage.url)
            .replace("curl -s ", "curl -sS --fail-with-body ")
            .replace("curl -i ", "curl -i --fail-with-body ");
        let script = format!("set -euo pipefail\n{here}");
        let output = stage.program(&["bash", "-c", &script], directory.path()).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !said.is_empty(),
            "{block}\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        run += 1;
    }
    assert_eq!(run, 4, "keygen, check, a read and a report");
}
