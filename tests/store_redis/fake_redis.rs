//! What if the server is no Redis, or its replies are lost on the way?

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{Arc, Mutex, mpsc},
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
