//! What do the benches share?

pub(crate) mod http_exchange;
pub(crate) mod machine;
pub(crate) mod process;
