//! What does the relay print, and how does it exit, when it is run to its end?

use std::{ffi::OsStr, process::Command};

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, `None` after a signal.
    pub code: Option<i32>,
    /// All that it wrote to its standard output.
    pub stdout: String,
    /// All that it wrote to its standard error.
    pub stderr: String,
}

/// Runs `binary` with these arguments, and with these variables and nothing else in its environment.
pub fn run<A, K, V>(binary: &str, arguments: &[A], env: impl IntoIterator<Item = (K, V)>) -> Finished
where
    A: AsRef<OsStr>,
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let output = Command::new(binary).env_clear().envs(env).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Finished {
    /// Its standard output, or a panic with its standard error where it failed.
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }
}
