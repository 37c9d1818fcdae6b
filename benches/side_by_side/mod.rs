//! What do benches share that put two servers under the same load in turn?

pub(crate) mod load;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod spread;
pub(crate) mod turns;
