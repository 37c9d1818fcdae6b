//! What can happen to one relay of a cluster, and how is it undone?

use fastrand::Rng;
use test_support::{LinkState, eventually};

use crate::cluster::Cluster;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayFault {
    Kill,
    /// With SIGTERM: the lease is given back.
    Stop,
    Freeze,
    /// On the way to Redis.
    Link(LinkState),
}

impl RelayFault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kill,
        Self::Stop,
        Self::Freeze,
        Self::Link(LinkState::Stalled),
        Self::Link(LinkState::RepliesStalled),
        Self::Link(LinkState::Cut),
    ];

    pub(crate) fn any(rng: &mut Rng) -> Self {
        Self::ALL[rng.usize(..Self::ALL.len())]
    }

    pub(crate) async fn inject(self, cluster: &mut Cluster, target: usize) {
        match self {
            Self::Kill => cluster.kill(target).await,
            Self::Stop => cluster.stop(target).await,
            Self::Freeze => cluster.freeze(target).await,
            Self::Link(state) => cluster.set_link(target, state),
        }
    }

    /// Undoes it, and waits until all relays serve one token.
    pub(crate) async fn repair(self, cluster: &mut Cluster, target: usize) {
        match self {
            Self::Kill | Self::Stop => cluster.start(target).await,
            Self::Freeze => cluster.thaw(target),
            Self::Link(_) => cluster.set_link(target, LinkState::Open),
        }
        eventually("all serve one token", async || cluster.agrees().await).await;
    }
}
