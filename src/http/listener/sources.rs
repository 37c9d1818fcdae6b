//! How many connections does each address have open?

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

/// The addresses that have connections open. It holds no more of them than there are connections.
#[derive(Debug, Default, Clone)]
pub(super) struct Sources(Arc<Mutex<HashMap<IpAddr, Source>>>);

#[derive(Debug, Default)]
struct Source {
    open: usize,
    /// Whether a connection of it was refused since it had none open.
    was_refused: bool,
}

/// What becomes of a connection.
#[derive(Debug)]
pub(super) enum Admission {
    /// It counts until this is dropped.
    Admitted(Admitted),
    /// Its address has as many as it may have.
    Refused {
        /// Whether it is the first one of that address, until it has none open.
        is_first: bool,
    },
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    sources: Sources,
    address: IpAddr,
}

impl Sources {
    /// One more of `address`, which may have `most` at once; 0: any number.
    pub(super) fn admit(&self, address: IpAddr, most: usize) -> Admission {
        let mut sources = self.lock();
        let source = sources.entry(address).or_default();
        if most > 0 && source.open >= most {
            let is_first = !std::mem::replace(&mut source.was_refused, true);
            return Admission::Refused { is_first };
        }
        source.open += 1;
        Admission::Admitted(Admitted { sources: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Source>> {
        self.0.lock().expect("nothing panics while it is locked")
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get_mut(&self.address) {
            source.open -= 1;
            if source.open == 0 {
                sources.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn admitted(admission: Admission) -> Admitted {
        match admission {
            Admission::Admitted(admitted) => admitted,
            Admission::Refused { .. } => panic!("refused"),
        }
    }

    #[test]
    fn an_address_has_no_more_connections_than_it_may_and_others_have_their_own() {
        let sources = Sources::default();
        let open: Vec<_> = (0..2).map(|_| admitted(sources.admit(ONE, 2))).collect();
        assert!(matches!(sources.admit(ONE, 2), Admission::Refused { is_first: true }));
        assert!(matches!(sources.admit(ONE, 2), Admission::Refused { is_first: false }));
        let _other = admitted(sources.admit("10.0.0.2".parse().unwrap(), 2));
        drop(open);
        assert_eq!(sources.lock().len(), 1, "an address without connections is forgotten");
        let _again = admitted(sources.admit(ONE, 1));
        assert!(matches!(sources.admit(ONE, 1), Admission::Refused { is_first: true }));
    }

    #[test]
    fn without_a_limit_every_connection_is_admitted_and_still_counted() {
        let sources = Sources::default();
        let open: Vec<_> = (0..100).map(|_| admitted(sources.admit(ONE, 0))).collect();
        assert_eq!((open.len(), sources.lock()[&ONE].open), (100, 100));
    }
}
