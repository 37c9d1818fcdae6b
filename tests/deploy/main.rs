//! Do the files below `deploy/` fit this relay, and do the programs that read them take them?
//!
//! The programs are Debian's: prometheus, prometheus-alertmanager, systemd; and kubernetes-validate from PyPI. A test whose
//! program is not here passes and says so.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod alerts;
mod dashboard;
mod kubernetes;
mod package;
mod prometheus;
mod systemd;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The binary under test.
const RELAY: &str = env!("CARGO_BIN_EXE_token-relay");

/// Metrics that are shown here and not always by the relay: that of the certificate is only there with TLS.
const COMING: [&str; 1] = ["token_relay_tls_certificate_not_after_timestamp_seconds"];

/// The path of a file below `deploy/`.
fn path_of(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn text_of(file: &str) -> String {
    let path = path_of(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs `words` in a folder of `deploy/` to their end: their standard output, or a panic with all that they wrote.
fn run_in(folder: &str, words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(path_of(folder)).output().unwrap();
    let [printed, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{words:?}: {}\n{printed}{errors}", output.status);
    printed
}
