//! How does a test speak with a program that uses an SDK? A line in is a command, a line out its answer, as JSON.

use std::{fs::File, path::Path, process::Stdio};

use serde_json::Value;
use tempfile::TempDir;
use test_support::{PATIENCE, appid};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{Sdk, Way, alias::Alias};

/// A program that was started; it is killed when this is dropped.
pub(crate) struct Program {
    _child: Child,
    /// Where the SDK leaves what it downloads.
    _files: TempDir,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts the SDK's program, and waits for the name and the version of the SDK. It is told where the relay is, or where the
    /// alias counts that leads there.
    pub(crate) async fn start(sdk: &Sdk, way: &Way, directory: &Path, at: Result<&str, &Alias>, key: &str) -> Self {
        let log = File::create(directory.join(format!("{}.log", way.name()))).unwrap();
        let files = tempfile::tempdir().unwrap();
        let command = match at {
            Ok(_) => sdk.run.iter().map(|&word| word.to_owned()).collect(),
            Err(alias) => alias.within(sdk.run),
        };
        let environment = match at {
            Ok(url) => vec![("RELAY_URL", url.to_owned())],
            Err(alias) => alias.trust().into(),
        };
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .args(way.arguments)
            .current_dir(directory)
            .env("APPID", appid("main"))
            .env("RELAY_KEY", key)
            .envs(environment)
            .env("WAY", way.name())
            .env("TMPDIR", files.path())
            .env("JAVA_TOOL_OPTIONS", format!("-Djava.io.tmpdir={}", files.path().display()))
            .env("no_proxy", "*")
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Self { _child: child, _files: files, commands, answers };
        assert_eq!(program.answer().await["sdk"], sdk.package.named);
        program
    }

    /// The token that the SDK hands out for this command, or the error that its caller gets.
    pub(crate) async fn token(&mut self, command: &str) -> Result<String, String> {
        let answer = self.carry_out(command).await?;
        Ok(answer["token"].as_str().unwrap().to_owned())
    }

    /// What the SDK's caller gets for this command: an object, or an error.
    pub(crate) async fn carry_out(&mut self, command: &str) -> Result<Value, String> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let answer = self.answer().await;
        if answer["error"].is_null() { Ok(answer) } else { Err(answer["error"].to_string()) }
    }

    /// The next line that is an answer. SDKs print other lines too.
    async fn answer(&mut self) -> Value {
        let next = async {
            while let Some(line) = self.answers.next_line().await.unwrap() {
                if line.starts_with('{') {
                    return serde_json::from_str(&line).unwrap();
                }
            }
            panic!("the program has ended; its errors are in its directory below target/sdk");
        };
        timeout(PATIENCE, next).await.expect("the program answers in time")
    }
}
