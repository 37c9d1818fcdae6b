//! What do benches share that put servers under the same load in turn?

pub(crate) mod clients;
pub(crate) mod contest;
pub(crate) mod nginx;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod spread;
