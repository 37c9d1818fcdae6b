//! Is a program that a test needs on this machine, and is it new enough?

use std::{
    fmt,
    io::{self, Write},
    process::Stdio,
};

use tokio::process::Command;

/// A program, and the oldest version that what is run with it needs.
#[derive(Clone, Copy, Debug)]
pub struct Toolchain {
    /// As the pages write it.
    pub name: &'static str,
    /// As the shell finds it.
    pub command: &'static str,
    /// The argument that makes every version of it print its own.
    asks_version: &'static str,
    /// The oldest version that will do.
    pub needs: &'static str,
}

/// An empty `"${@:2}"` under `set -u`.
pub const BASH: Toolchain = Toolchain::new("bash", "bash", "--version", "4.4");
/// `-H @FILE`
pub const CURL: Toolchain = Toolchain::new("curl", "curl", "--version", "7.55");
/// The oldest that was tried.
pub const PYTHON: Toolchain = Toolchain::new("Python", "python3", "--version", "3.6");
/// `fetch`
pub const NODE: Toolchain = Toolchain::new("Node.js", "node", "--version", "18");
/// `cmp.Or`
pub const GO: Toolchain = Toolchain::new("Go", "go", "version", "1.22");
/// Its HTTP client, and `java FILE.java`.
pub const JAVA: Toolchain = Toolchain::new("Java", "java", "-version", "11");
/// Headless as a whole browser, and not as a shell of its own.
pub const CHROMIUM: Toolchain = Toolchain::new("Chromium", "chromium", "--version", "112");

/// `promql_expr_test`, and `test rules` as Debian 12 has it.
pub const PROMTOOL: Toolchain = Toolchain::new("promtool", "promtool", "--version", "2.42");
/// As Debian 12 has it.
pub const PROMETHEUS: Toolchain = Toolchain::new("Prometheus", "prometheus", "--version", "2.42");
/// As Debian 12 has it.
pub const AMTOOL: Toolchain = Toolchain::new("amtool", "amtool", "--version", "0.25");
/// `security --offline=true`
pub const SYSTEMD_ANALYZE: Toolchain = Toolchain::new("systemd-analyze", "systemd-analyze", "--version", "250");

/// Why the program cannot be used here.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    Missing,
    TooOld(String),
    /// It is there, and does not say which version it is.
    Unclear(String),
}

impl Toolchain {
    const fn new(name: &'static str, command: &'static str, asks_version: &'static str, needs: &'static str) -> Self {
        Self { name, command, asks_version, needs }
    }

    /// The same, but this version or a later one is needed.
    #[must_use]
    pub const fn at_least(self, needs: &'static str) -> Self {
        Self { needs, ..self }
    }

    /// Asks the program found by `path`, or by this process's own `PATH`.
    async fn ask(&self, path: Option<&str>) -> Result<(), Lack> {
        let mut command = Command::new(self.command);
        command.arg(self.asks_version).stdin(Stdio::null());
        if let Some(path) = path {
            command.env("PATH", path);
        }
        // Python 2 and Java print their version on stderr.
        let output = command.output().await.map_err(|_| Lack::Missing)?;
        let answer = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        if output.status.success() { self.judge(&answer) } else { Err(Lack::Unclear(answer)) }
    }

    /// Judges what the program said of its version.
    fn judge(&self, answer: &str) -> Result<(), Lack> {
        let version = version_in(answer).ok_or_else(|| Lack::Unclear(answer.to_owned()))?;
        if parts(version) < parts(self.needs) { Err(Lack::TooOld(version.to_owned())) } else { Ok(()) }
    }

    /// Why a test that needs it is skipped.
    fn reason(&self, lack: &Lack) -> String {
        let Self { name, command, needs, .. } = self;
        match lack {
            Lack::Missing => format!("it needs {name} {needs} or later, and there is no {command} here"),
            Lack::TooOld(version) => {
                format!("it needs {name} {needs} or later, and {command} here is {version}")
            }
            Lack::Unclear(answer) => {
                let line = answer.lines().next().unwrap_or_default();
                format!("it needs {name} {needs} or later, and {command} here does not say its version: {line}")
            }
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.needs)
    }
}

/// The first number in a text, with the numbers that dots join to it: `1.19.8` in `go version go1.19.8 linux/amd64`.
fn version_in(text: &str) -> Option<&str> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let rest = &text[start..];
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.'))
}

/// The numbers of a version, to be compared in their order.
fn parts(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

/// Whether all of these can be used here. If not, the test is reported as skipped.
pub async fn all_here(toolchains: &[Toolchain]) -> bool {
    for toolchain in toolchains {
        if let Err(lack) = toolchain.ask(None).await {
            skipped(&toolchain.reason(&lack));
            return false;
        }
    }
    true
}

/// Says that this test is skipped, and why.
pub fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    report(&format!("{test} is skipped: {reason}"));
}

/// Writes a line that is shown whether the test fails or not. The harness shows what `eprintln!` writes only for a test that fails.
pub fn report(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        for (text, version) in [
            ("go version go1.19.8 linux/amd64", "1.19.8"),
            ("go version go1.22 darwin/arm64", "1.22"),
            ("go version devel go1.24-4a7b5e1 Tue Oct 1 linux/amd64", "1.24"),
            ("openjdk version \"1.8.0_392\"\nOpenJDK Runtime Environment", "1.8.0"),
            ("openjdk version \"17.0.15\" 2025-04-15", "17.0.15"),
            ("openjdk version \"22-ea\" 2024-03-19", "22"),
            ("java version \"21\" 2023-09-19 LTS", "21"),
            ("v20.20.2\n", "20.20.2"),
            ("Python 2.7.18\n", "2.7.18"),
            ("Python 3.13.0rc1\n", "3.13.0"),
            ("GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "5.2.15"),
            ("curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 OpenSSL/3.0.17", "7.88.1"),
        ] {
            assert_eq!(version_in(text), Some(version), "{text}");
        }
        assert_eq!(version_in("command not found"), None);
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_an_equal_version_is_enough() {
        let too_old = |version: &str| Err(Lack::TooOld(version.to_owned()));
        for (toolchain, text, verdict) in [
            (GO, "go version go1.19.8 linux/amd64", too_old("1.19.8")),
            (GO, "go version go1.21.13 linux/amd64", too_old("1.21.13")),
            (GO, "go version go1.9 linux/amd64", too_old("1.9")),
            (GO, "go version go1.22 linux/amd64", Ok(())),
            (GO, "go version go1.100.1 linux/amd64", Ok(())),
            (GO, "go version go2.0 linux/amd64", Ok(())),
            (JAVA, "openjdk version \"1.8.0_392\"", too_old("1.8.0")),
            (JAVA, "openjdk version \"11.0.2\" 2019-01-15", Ok(())),
            (NODE, "v16.20.2", too_old("16.20.2")),
            (NODE, "v18.0.0", Ok(())),
            (PYTHON, "Python 2.7.18", too_old("2.7.18")),
            (PYTHON, "Python 3.11.7", Ok(())),
            (GO, "go: no version", Err(Lack::Unclear("go: no version".to_owned()))),
        ] {
            assert_eq!(toolchain.judge(text), verdict, "{text}");
        }
    }

    /// A program of these commands. Another process writes it: a child that another test starts meanwhile would hold a file of this
    /// one open for writing, and a file that is written cannot be run.
    fn program(directory: &TempDir, name: &str, commands: &str) {
        let text = directory.path().join("text");
        fs::write(&text, format!("#!/bin/sh\n{commands}\n")).unwrap();
        let mut copy = std::process::Command::new("install");
        copy.arg("-m755").arg(&text).arg(directory.path().join(name));
        assert!(copy.status().unwrap().success());
    }

    /// Debian 12 has such a Go.
    #[tokio::test]
    async fn an_old_go_first_in_path_is_reported_with_both_versions() {
        let directory = TempDir::new().unwrap();
        program(&directory, "go", "echo go version go1.19.8 linux/amd64");
        let lack = GO.ask(directory.path().to_str()).await.unwrap_err();
        assert_eq!(GO.reason(&lack), "it needs Go 1.22 or later, and go here is 1.19.8");
    }

    #[tokio::test]
    async fn a_program_that_is_missing_or_broken_is_reported_with_the_version_that_is_needed() {
        let directory = TempDir::new().unwrap();
        let lack = JAVA.ask(directory.path().to_str()).await.unwrap_err();
        assert_eq!(JAVA.reason(&lack), "it needs Java 11 or later, and there is no java here");
        program(&directory, "java", "echo 'Unable to locate a Java Runtime 17.' >&2; exit 1");
        let lack = JAVA.ask(directory.path().to_str()).await.unwrap_err();
        assert!(JAVA.reason(&lack).ends_with("does not say its version: Unable to locate a Java Runtime 17."));
    }
}
