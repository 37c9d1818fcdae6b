//! What does a service manager hear from the process? A socket of the test stands in for systemd's.

use std::{io::ErrorKind, os::unix::net::UnixDatagram, time::Duration};

use rustix::process::Signal;
use test_support::{Setup, eventually};

use crate::RELAY;

/// What systemd would read.
struct Manager(UnixDatagram);

impl Manager {
    fn of(setup: &mut Setup) -> Self {
        let path = setup.path().join("notify");
        setup.env("NOTIFY_SOCKET", path.to_str().unwrap());
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 256];
        match self.0.recv(&mut bytes) {
            Ok(length) => Some(String::from_utf8(bytes[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message, whenever it comes.
    async fn hears(&self) -> String {
        let mut heard = None;
        eventually("a message comes", async || {
            heard = self.next();
            heard.is_some()
        })
        .await;
        heard.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_that_the_relay_is_ready_lives_and_stops_in_this_order() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    let manager = Manager::of(&mut setup);
    setup.env("WATCHDOG_USEC", "200000");
    let mut relay = setup.start().await;
    assert_eq!(manager.hears().await, "READY=1\n");
    assert!(tokio::net::TcpStream::connect(relay.public).await.is_ok(), "it listens before it is ready");
    for _ in 0..5 {
        assert_eq!(manager.hears().await, "WATCHDOG=1\n");
    }
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
    let rest: Vec<_> = std::iter::from_fn(|| manager.next()).skip_while(|text| text == "WATCHDOG=1\n").collect();
    assert_eq!(rest, ["STOPPING=1\n"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_watchdog_nothing_is_sent_between_start_and_stop() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    let manager = Manager::of(&mut setup);
    setup.env("WATCHDOG_USEC", "200000");
    setup.env("WATCHDOG_PID", "1"); // meant for another process
    let mut relay = setup.start().await;
    assert_eq!(manager.hears().await, "READY=1\n");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(manager.next(), None);
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
    assert_eq!(manager.next().as_deref(), Some("STOPPING=1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_manager_that_is_gone_costs_a_line_in_the_log_and_nothing_else() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    drop(Manager::of(&mut setup));
    let relay = setup.start().await;
    relay.get("/token").await.token();
    eventually("it is logged", async || !relay.events("systemd could not be told of this process's state").is_empty())
        .await;
}
