//! The program, from outside.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

use common::*;

/// Ends the program even when the test fails.
struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    first_line: String,
}

impl Program {
    fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wechat-sim"));
        let mut child = command.args(["--listen", "127.0.0.1:0"]).args(flags).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut first_line = String::new();
        stderr.read_line(&mut first_line).unwrap();
        Self { child, stderr, first_line }
    }

    fn addr(&self) -> SocketAddr {
        self.first_line
            .trim()
            .rsplit_once("//")
            .expect(&self.first_line)
            .1
            .replace("localhost", "127.0.0.1")
            .parse()
            .unwrap()
    }

    /// The exit code after SIGTERM, and what was written to stderr after the first line.
    fn terminate(mut self) -> (Option<i32>, String) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_serves_logs_without_secrets_and_ends_with_0_on_sigterm() {
    let program = Program::start(&["--app", &format!("{APP}:{SECRET}"), "--lifetime", "90s"]);
    let body = json(program.addr(), &token_request()).await;
    assert_eq!(body["expires_in"], 90);
    let token = body["access_token"].as_str().unwrap();
    probe(program.addr(), token).await;
    probe(program.addr(), "75_bad").await;
    let (code, log) = program.terminate();
    assert_eq!(code, Some(0));
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(log.contains("granted minted in ") && log.contains("refused_40001"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(token) && !log.contains("75_"), "{log}");
}

#[tokio::test]
async fn an_agent_of_wecom_is_registered_by_flag_and_never_logged() {
    let program = Program::start(&["--agent", &format!("ww1:1000002:{SECRET}")]);
    let body = json(program.addr(), get(&format!("/cgi-bin/gettoken?corpid=ww1&corpsecret={SECRET}"))).await;
    let token = body["access_token"].as_str().unwrap();
    let (code, log) = program.terminate();
    assert_eq!(code, Some(0));
    assert!(log.contains("wecom_token  ww1/1000002 granted minted in "), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(token), "{log}");
    let mut refused = Program::start(&["--agent", "ww1:1000002"]);
    assert!(refused.first_line.contains("--agent"), "{}", refused.first_line);
    assert_eq!(refused.child.wait().unwrap().code(), Some(2));
}

#[tokio::test]
async fn without_an_app_it_knows_the_one_of_the_readme() {
    let program = Program::start(&[]);
    let secret = "0123456789abcdef0123456789abcdef";
    assert!(include_str!("../README.md").contains(secret));
    let request = token_request().replace(SECRET, secret);
    assert_eq!(json(program.addr(), &request).await["expires_in"], 60);
}

#[test]
fn tls_files_are_taken_and_bad_ones_are_named() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let program = Program::start(&["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    assert!(program.first_line.contains("https://localhost:"), "{}", program.first_line);
    assert_eq!(program.terminate().0, Some(0));
    let mut failed = Program::start(&["--tls-cert", &path("none.pem"), "--tls-key", &path("key.pem")]);
    assert!(failed.first_line.contains("none.pem"), "{}", failed.first_line);
    assert_eq!(failed.child.wait().unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let program = Program::start(&[]);
    let addr = program.addr().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_wechat-sim")).args(["--listen", &addr]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&addr));
}
