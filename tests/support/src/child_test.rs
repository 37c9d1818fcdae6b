//! How does a test get a process of its own, for what depends on the environment or ends with a kill?

use std::process::Command;

/// A command that runs one ignored test of this binary, by its full name.
pub fn command(test: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture"]);
    child
}

/// Runs one ignored test of this binary with this environment and without this process's certificates: what it printed in
/// a line after "outcome: ".
pub async fn outcome(test: &str, environment: &[(&str, &str)]) -> String {
    let mut child = command(test);
    child.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR").envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = printed.lines().find_map(|line| line.strip_prefix("outcome: ")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&output.stderr)))
}
