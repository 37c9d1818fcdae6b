//! Do the commands do what `--help` says, from outside?

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::{
    fs::File,
    io::Write as _,
    iter,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use test_support::{ClosedPort, FakeServer, Finished, run};

fn relay(arguments: &[&str], env: &[(&str, &str)]) -> Finished {
    run(env!("CARGO_BIN_EXE_token-relay"), arguments, env.iter().copied())
}

/// `health`, once more while a busy machine keeps the answer back for longer than it waits.
fn health(env: &[(&str, &str)]) -> Finished {
    let ask = || relay(&["health"], env);
    iter::repeat_with(ask).take(10).find(|output| !output.stderr.contains("no answer within")).unwrap()
}

#[test]
fn started_without_settings_the_relay_says_what_it_needs_and_how_to_try_it_without() {
    for command in [&[][..], &["check"]] {
        let output = relay(command, &[]);
        assert_eq!(output.code, Some(78));
        let said = output.stderr;
        for part in ["accounts.NAME.appid", "TOKEN_RELAY__ACCOUNTS__NAME__SECRET", "`cargo run --example demo`"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn health_asks_the_public_listener_and_needs_no_secret() {
    let server = FakeServer::replying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let everywhere = format!("0.0.0.0:{}", server.address.port());
    let env = [
        ("TOKEN_RELAY__SERVER__LISTEN", everywhere.as_str()),
        ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET_FILE", "/no/such/file"),
        ("TOKEN_RELAY__NOT__A__KEY", "x"),
    ];
    health(&env).succeeded();
    assert!(server.requests().last().unwrap().starts_with("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:"));
}

#[test]
fn health_says_in_one_line_why_not() {
    let closed = ClosedPort::bind();
    let answers = [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "answered 503"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "no HTTP answer"),
        ("HTTP", ""),
    ];
    let mut cases = vec![(closed.address(), "refused")];
    let servers: Vec<_> = answers.into_iter().map(|(answer, says)| (FakeServer::replying(answer), says)).collect();
    cases.extend(servers.iter().map(|(server, says)| (server.address, *says)));
    for (address, says) in cases {
        let output = health(&[("TOKEN_RELAY__SERVER__LISTEN", &address.to_string())]);
        assert_eq!(output.code, Some(1));
        assert!(output.stderr.contains(says) && output.stderr.lines().count() == 1, "{}", output.stderr);
    }
}

#[test]
fn health_waits_three_seconds_at_most() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    // without an admin listener: on a developer's machine another relay may answer at its default address
    let settings = [("TOKEN_RELAY__SERVER__LISTEN", address.as_str()), ("TOKEN_RELAY__SERVER__ADMIN_LISTEN", "")];
    let output = relay(&["health"], &settings);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("no answer within 3 s"));
}

#[test]
fn health_asks_the_admin_listener_where_all_public_places_are_taken() {
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = FakeServer::replying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let public = full.local_addr().unwrap().to_string();
    let settings =
        [("TOKEN_RELAY__SERVER__LISTEN", &*public), ("TOKEN_RELAY__SERVER__ADMIN_LISTEN", &admin.address.to_string())];
    health(&settings).succeeded();
}

#[test]
fn health_asks_the_admin_listener_alone_where_the_public_one_speaks_tls() {
    let admin = FakeServer::replying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (tls, address) = (("TOKEN_RELAY__SERVER__TLS__CERT_FILE", "/no/such/file"), admin.address.to_string());
    let public = FakeServer::replying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let listen = public.address.to_string();
    let listen = ("TOKEN_RELAY__SERVER__LISTEN", listen.as_str());
    health(&[tls, listen, ("TOKEN_RELAY__SERVER__ADMIN_LISTEN", &address)]).succeeded();
    assert_eq!((public.requests().len(), admin.requests().is_empty()), (0, false));
    let output = relay(&["health"], &[tls, listen, ("TOKEN_RELAY__SERVER__ADMIN_LISTEN", "")]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("server.admin_listen is off") && output.stderr.lines().count() == 1);
}

#[test]
fn health_with_an_address_that_cannot_be_asked_is_bad_configuration() {
    for listen in ["sentinel-8f3a", "127.0.0.1:0"] {
        let output = relay(&["health"], &[("TOKEN_RELAY__SERVER__LISTEN", listen)]);
        assert_eq!(output.code, Some(78));
        assert!(output.stderr.contains("server.listen") && !output.stderr.contains("sentinel"));
    }
}

#[test]
fn keygen_prints_a_key_and_its_hash_and_never_the_same_twice() {
    let printed: toml::Table = relay(&["keygen"], &[]).succeeded().parse().unwrap();
    let (key, hash) = (printed["key"].as_str().unwrap(), printed["key_sha256"].as_str().unwrap());
    assert_eq!(key.len(), "trk_".len() + 64);
    assert!(key.starts_with("trk_"));
    assert_eq!(hash, hex::encode(Sha256::digest(key)));
    assert_ne!(relay(&["keygen"], &[]).succeeded(), relay(&["keygen"], &[]).succeeded());
}

#[test]
fn a_new_key_and_its_hash_are_accepted_as_settings() {
    let printed: toml::Table = relay(&["keygen"], &[]).succeeded().parse().unwrap();
    for name in ["key", "key_sha256"] {
        let variable = format!("TOKEN_RELAY__CLIENTS__ORDERS__{}", name.to_uppercase());
        let env = [
            ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1"),
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", "s"),
            (variable.as_str(), printed[name].as_str().unwrap()),
        ];
        let output = relay(&["check"], &env).succeeded();
        assert!(!output.contains(printed[name].as_str().unwrap()));
    }
}

#[test]
fn the_settings_file_may_be_named_before_or_after_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    let text =
        "[accounts.main]\nappid = \"wx1\"\nsecret = \"s\"\n[clients.a]\nkey = \"0123456789abcdef0123456789abcdef\"\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [["--config", file, "check"], ["check", "--config", file]] {
        relay(&arguments, &[]).succeeded();
    }
    relay(&["check"], &[("TOKEN_RELAY_CONFIG", file)]).succeeded();
}

#[test]
fn without_a_command_it_serves_and_bad_settings_end_it_with_78() {
    for arguments in [&[][..], &["serve"], &["check"]] {
        let output = relay(arguments, &[]);
        assert_eq!(output.code, Some(78));
        assert!(output.stderr.contains("accounts"));
    }
}

#[test]
fn a_hangup_while_the_settings_are_read_does_not_end_it() {
    // a pipe that somebody may still write to is waited for: so long reading takes
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
    let mut writer = File::options().read(true).write(true).open(&file).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_token-relay"));
    let mut child = child.env_clear().env("TOKEN_RELAY_CONFIG", &file).stderr(Stdio::null()).spawn().unwrap();
    writer.write_all(b"[accounts]\n").unwrap();
    while rustix::io::ioctl_fionread(&writer).unwrap() > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::HUP).unwrap();
    drop(writer);
    assert_eq!(child.wait().unwrap().code(), Some(78), "it has read all, and there is no account");
}

#[test]
fn a_number_of_threads_that_cannot_be_one_is_named() {
    for threads in ["0", "-1", "two", ""] {
        let output = relay(&["serve"], &[("TOKIO_WORKER_THREADS", threads)]);
        assert_eq!(output.code, Some(1), "{threads}");
        assert!(output.stderr.contains("TOKIO_WORKER_THREADS must be a number of threads"), "{}", output.stderr);
    }
}

#[test]
fn a_bad_command_line_ends_with_2_and_questions_with_0() {
    for arguments in [&["serv"][..], &["--confg", "x"], &["--config"], &["check", "x"]] {
        assert_eq!(relay(arguments, &[]).code, Some(2), "{arguments:?}");
    }
    let version = relay(&["--version"], &[]);
    assert_eq!(version.succeeded(), format!("token-relay {}\n", env!("CARGO_PKG_VERSION")));
    let help = relay(&["--help"], &[]).succeeded();
    for word in ["serve", "check", "health", "status", "keygen", "--config", "TOKEN_RELAY_CONFIG", "78"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn check_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let url = format!("file:{}", state.display());
    let env = [
        ("TOKEN_RELAY__STATE__URL", url.as_str()),
        ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1"),
        ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", "s"),
        ("TOKEN_RELAY__CLIENTS__A__KEY", "0123456789abcdef0123456789abcdef"),
    ];
    relay(&["check"], &env).succeeded();
    assert!(!Path::new(&state).exists());
}
