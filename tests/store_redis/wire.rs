//! What lies between a store and its server, and servers that are none.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What a [`Wire`] does with each connection that it takes.
type Handler = dyn Fn(TcpStream) + Send + Sync;

/// A listener on a port of its own.
pub(crate) struct Wire {
    pub(crate) port: u16,
    taken: Arc<AtomicUsize>,
}

impl Wire {
    fn new(handler: Box<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, handler) = (Arc::<AtomicUsize>::default(), Arc::<Handler>::from(handler));
        let count = taken.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                let (client, handler) = (client.unwrap(), handler.clone());
                thread::spawn(move || handler(client));
            }
        });
        Self { port, taken }
    }

    /// Closes every connection at once.
    pub(crate) fn closing() -> Self {
        Self::new(Box::new(drop))
    }

    /// A server that answers each command with what `reply` says; nothing ends the connection.
    pub(crate) fn saying(reply: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::new(Box::new(move |mut client| {
            let mut question = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = client.read(&mut question) {
                if client.write_all(&reply(&question[..length])).is_err() {
                    return;
                }
            }
        }))
    }

    /// Carries everything to `target`, until a request for which `is_last` holds: it is carried too, and answered, but
    /// the answer is thrown away with the connection.
    pub(crate) fn losing_replies(target: u16, is_last: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Box::new(move |mut client| {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).unwrap();
            let replies = Arc::new(Mutex::new(Some(client.try_clone().unwrap())));
            let (mut answers, to_client) = (server.try_clone().unwrap(), replies.clone());
            let (done, answered) = std::sync::mpsc::channel();
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
        }))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Connections so far.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}
