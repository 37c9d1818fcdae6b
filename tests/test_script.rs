//! Does `./test.sh` set up what the tests need, and say in one line what it cannot?
//!
//! It runs with a `PATH` of its own, in which `cargo`, the package managers, `sudo` and `id` are scripts of this test.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use tempfile::TempDir;

const BASH: &str = "/bin/bash";

/// What a run of the script did.
struct Run {
    succeeds: bool,
    /// The commands that it ran, in order: name and arguments.
    ran: Vec<String>,
    errors: String,
}

/// A machine with these commands, and those that every machine has. `installer` is the package manager that brings
/// `redis-server`.
fn run(user: u32, commands: &[&str], installer: Option<&str>, arguments: &[&str]) -> Run {
    let machine = TempDir::new().unwrap();
    let at = |name: &str| machine.path().join(name);
    for tool in ["dirname", "env"] {
        let real = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(tool));
        std::os::unix::fs::symlink(real.iter().find(|path| path.exists()).unwrap(), at(tool)).unwrap();
    }
    let log = at("log");
    let command = |name: &str, more: &str| {
        let script = format!("#!{BASH}\necho \"{name} $*\" >>{}\n{more}\n", log.display());
        fs::write(at(name), script).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    for name in commands {
        command(name, if *name == "sudo" { "\"$@\"" } else { "" });
    }
    if let Some(installer) = installer {
        let server = at("redis-server");
        let (text, path) = (format!("#!{BASH}\n"), server.display());
        command(installer, &format!("printf '%s' '{text}' >{path}; PATH=/usr/bin:/bin chmod +x {path}"));
    }
    fs::write(at("id"), format!("#!{BASH}\necho {user}\n")).unwrap();
    fs::set_permissions(at("id"), fs::Permissions::from_mode(0o755)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("test.sh");
    let output = Command::new(BASH).arg(script).args(arguments).env("PATH", machine.path()).output().unwrap();
    Run {
        succeeds: output.status.success(),
        ran: fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn with_a_redis_or_a_valkey_the_tests_run_and_nothing_is_installed() {
    for server in ["redis-server", "valkey-server"] {
        let run = run(0, &["cargo", "cc", "apt-get", server], None, &["--test", "cluster"]);
        assert!(run.succeeds, "{}", run.errors);
        assert_eq!(run.ran, ["cargo test --workspace --locked --test cluster"]);
    }
}

#[test]
fn without_a_redis_the_package_manager_installs_one_before_the_tests_run() {
    for manager in ["apt-get", "dnf", "apk", "brew"] {
        let run = run(0, &["cargo", "cc"], Some(manager), &[]);
        assert!(run.succeeds, "{manager}: {}", run.errors);
        let installed = run.ran.iter().position(|line| line.starts_with(manager) && line.ends_with("redis"));
        let installed = installed.or(run.ran.iter().position(|line| line.ends_with("redis-server")));
        assert!(installed.unwrap() < run.ran.len() - 1, "{:?}", run.ran);
        assert_eq!(run.ran.last().unwrap().trim(), "cargo test --workspace --locked");
        assert!(!run.ran.iter().any(|line| line.starts_with("sudo")), "{:?}", run.ran);
    }
}

#[test]
fn a_user_who_is_not_root_installs_with_sudo() {
    for (manager, asks) in [("apt-get", true), ("dnf", true), ("apk", true), ("brew", false)] {
        let run = run(1000, &["cargo", "cc", "sudo"], Some(manager), &[]);
        assert!(run.succeeds, "{manager}: {}", run.errors);
        assert_eq!(run.ran.iter().any(|line| line.starts_with("sudo")), asks, "{manager}: {:?}", run.ran);
    }
}

/// What is missing, and the words that say so.
#[test]
fn what_cannot_be_set_up_is_said_in_one_line_and_no_test_runs() {
    for (user, commands, says) in [
        (0, &["cargo", "cc"][..], "none of apt-get, dnf, apk, brew"),
        (0, &["cargo", "cc", "apt-get"], "the installation brought no redis-server"),
        (1000, &["cargo", "cc", "apt-get"], "no sudo to install it"),
        (0, &["cargo", "redis-server"], "no C compiler"),
        (0, &["cc", "redis-server"], "install Rust"),
    ] {
        let run = run(user, commands, None, &[]);
        assert!(!run.succeeds, "{commands:?}");
        let last = run.errors.lines().last().unwrap_or_default();
        assert!(run.errors.contains(says) && last.starts_with("test.sh: "), "{commands:?}: {}", run.errors);
        assert!(!run.ran.iter().any(|line| line.starts_with("cargo")), "{commands:?}: {:?}", run.ran);
    }
}
