//! What does a test say where no Redis server is installed?

use test_support::{RedisServer, child_test};

/// Not a test: what a child does.
#[test]
#[ignore = "runs in a child process of the test below"]
fn start_a_server() {
    drop(RedisServer::start());
}

#[test]
fn without_a_redis_server_a_test_fails_with_one_line_that_says_what_to_install() {
    let output = child_test::command("missing_server::start_a_server")
        .env("PATH", "/no/such/directory")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("Redis server")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(lines[0].contains("install the package redis-server or valkey-server"), "{stderr}");
}
