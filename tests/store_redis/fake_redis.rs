//! What if the server is no Redis, or its replies are lost on the way?

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use test_support::FakeServer;

/// A server that answers each command with `reply`; nothing ends the connection.
pub(crate) fn replying(reply: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> FakeServer {
    FakeServer::new(move |mut connection| {
        let mut question = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = connection.stream.read(&mut question) {
            if connection.stream.write_all(&reply(&question[..length])).is_err() {
                return;
            }
        }
    })
}

/// Carries everything to the port `target`, until a request for which `is_last` holds: it is carried too, and answered, but
/// the answer is thrown away with the connection.
pub(crate) fn losing_replies(target: u16, is_last: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> FakeServer {
    FakeServer::new(move |connection| {
        let mut client = connection.stream;
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).unwrap();
        let replies = Arc::new(Mutex::new(Some(client.try_clone().unwrap())));
        let (mut answers, to_client) = (server.try_clone().unwrap(), replies.clone());
        let (done, answered) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = answers.read(&mut bytes) {
                let mut to_client = to_client.lock().unwrap();
                match to_client.as_mut() {
                    Some(client) => client.write_all(&bytes[..length]).unwrap_or_default(),
                    None => done.send(()).unwrap_or_default(),
                }
            }
        });
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = client.read(&mut bytes) {
            let is_over = is_last(&bytes[..length]);
            if is_over {
                replies.lock().unwrap().take();
            }
            server.write_all(&bytes[..length]).unwrap();
            if is_over {
                answered.recv().unwrap();
                break;
            }
        }
        for end in [client, server] {
            match end.shutdown(Shutdown::Both) {
                Err(error) if error.kind() != ErrorKind::NotConnected => panic!("{error}"),
                _ => {}
            }
        }
    })
}

/// A server where each swap wins and no record is found. From the first swap on it replies to nothing before it is asked for
/// a record; until then it counts the swaps.
pub(crate) fn holding_swaps() -> (FakeServer, Arc<AtomicUsize>) {
    let held = Arc::<AtomicUsize>::default();
    let count = held.clone();
    let server = FakeServer::new(move |mut connection| {
        let (mut bytes, mut requests, mut replies) = (vec![0; 64 * 1024], Vec::new(), Vec::new());
        let mut is_asked = false;
        while let Ok(length @ 1..) = connection.stream.read(&mut bytes) {
            requests.extend(&bytes[..length]);
            while let Some(command) = take_command(&mut requests) {
                match &command[..] {
                    b"EVAL" => {
                        count.fetch_add(usize::from(!is_asked), SeqCst);
                        replies.extend(WON);
                    }
                    b"GET" => {
                        is_asked = true;
                        replies.extend(b"$-1\r\n");
                    }
                    _ => replies.extend(b"+PONG\r\n"),
                }
            }
            let is_holding = !is_asked && count.load(SeqCst) > 0;
            if !is_holding && connection.stream.write_all(&std::mem::take(&mut replies)).is_err() {
                return;
            }
        }
    });
    (server, held)
}

/// The reply to a swap that is won: the nonce and the change number.
const WON: &[u8] = b"*3\r\n:1\r\n$1\r\n7\r\n:1\r\n";

/// Takes the first request, if all of it is there, and tells its command.
fn take_command(requests: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (mut at, mut command) = (0, None);
    for _ in 0..number_at(requests, &mut at)? {
        let length = number_at(requests, &mut at)?;
        let argument = requests.get(at..at + length + 2)?;
        command.get_or_insert_with(|| argument[..length].to_vec());
        at += argument.len();
    }
    requests.drain(..at);
    command
}

/// The number in the line at `at`, behind its first character; moves on to the next line.
fn number_at(requests: &[u8], at: &mut usize) -> Option<usize> {
    let line = requests[*at..].split_inclusive(|byte| *byte == b'\n').next()?;
    let number = line[1..].strip_suffix(b"\r\n")?;
    *at += line.len();
    Some(std::str::from_utf8(number).unwrap().parse().unwrap())
}
