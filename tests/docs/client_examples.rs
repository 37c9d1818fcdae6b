//! Do the client examples come through when WeChat refuses their token?

use std::{collections::BTreeSet, fs};

use tempfile::TempDir;
use test_support::toolchain::{self, BASH, CURL, GO, JAVA, NODE, PYTHON, Toolchain};
use wechat_sim::{Kind, Op};

use crate::{
    page::{Page, root, text_of},
    running_relay::{APPID, RunningRelay},
};

const DIRECTORY: &str = "examples/clients";

/// A file below `examples/clients`, and what runs it.
struct Example {
    file: &'static str,
    run_with: &'static [&'static str],
    needs: &'static [Toolchain],
}

const SHELL_CLIENT: Example = Example { file: "curl/client.sh", run_with: &["bash"], needs: &[CURL, BASH] };
const PYTHON_CLIENT: Example = Example { file: "python/client.py", run_with: &["python3"], needs: &[PYTHON] };
const NODE_CLIENT: Example = Example { file: "node/client.mjs", run_with: &["node"], needs: &[NODE] };
const GO_CLIENT: Example = Example { file: "go/main.go", run_with: &["go", "run"], needs: &[GO] };
const JAVA_CLIENT: Example = Example { file: "java/Client.java", run_with: &["java"], needs: &[JAVA] };

/// In the order of the table.
const EXAMPLES: [Example; 5] = [SHELL_CLIENT, PYTHON_CLIENT, NODE_CLIENT, GO_CLIENT, JAVA_CLIENT];

impl Example {
    /// Rotates the served token behind the relay's back until it is dead, and runs the example: it must report and come
    /// through.
    async fn survives_a_dead_token(&self) {
        if !toolchain::all_here(self.needs).await {
            return;
        }
        let relay = RunningRelay::start().await;
        for _ in 0..2 {
            relay.sim.rotate_outside(APPID, Kind::Rotating);
        }
        let file = root().join(DIRECTORY).join(self.file);
        let words = [self.run_with, &[file.to_str().unwrap()]].concat();
        let elsewhere = TempDir::new().unwrap();
        let output = relay.program(&words, elsewhere.path()).output().await.unwrap();
        let (printed, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && printed.contains("ip_list"), "{printed}\n{complained}");
        assert_eq!(relay.sim.calls(Op::Token).len(), 2, "one call at the start and one for the report");
        relay.stop().await;
    }

    /// As the pages write it.
    fn needed(&self, and: &str) -> String {
        self.needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(and)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_client_reports_a_dead_token_and_comes_through() {
    SHELL_CLIENT.survives_a_dead_token().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_reports_a_dead_token_and_comes_through() {
    PYTHON_CLIENT.survives_a_dead_token().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_reports_a_dead_token_and_comes_through() {
    NODE_CLIENT.survives_a_dead_token().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_client_reports_a_dead_token_and_comes_through() {
    GO_CLIENT.survives_a_dead_token().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_reports_a_dead_token_and_comes_through() {
    JAVA_CLIENT.survives_a_dead_token().await;
}

#[test]
fn every_example_is_in_the_table_with_the_version_that_it_needs() {
    for (path, heading, and) in [("README.md", "language", " and "), ("README.zh-CN.md", "语言", "、")] {
        let page = Page::at(format!("{DIRECTORY}/{path}"));
        let rows = page.table(heading);
        assert_eq!(rows.len(), EXAMPLES.len(), "{path}");
        for (row, example) in rows.iter().zip(&EXAMPLES) {
            let Example { file, run_with, .. } = example;
            assert_eq!(row[1], format!("[{file}]({file})"), "{path}");
            assert_eq!(row[2], example.needed(and), "{path}");
            assert_eq!(row[3], format!("`{} {file}`", run_with.join(" ")), "{path}");
            let head = format!("Needs {}", example.needed(" and "));
            assert!(text_of(format!("{DIRECTORY}/{file}")).contains(&head), "{file} does not say: {head}");
        }
    }
}

#[test]
fn every_file_beside_the_examples_is_one_or_a_page() {
    let directories = fs::read_dir(root().join(DIRECTORY)).unwrap().map(|entry| entry.unwrap().path());
    let files = directories.filter(|path| path.is_dir()).flat_map(|directory| {
        let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.into_iter().map(move |file| format!("{}/{}", directory.file_name().unwrap().display(), file.display()))
    });
    let examples: BTreeSet<String> = EXAMPLES.iter().map(|example| example.file.to_owned()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), examples);
}
