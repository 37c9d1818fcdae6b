//! What do the benches share?

pub(crate) mod arguments;
pub(crate) mod http_exchange;
pub(crate) mod machine;
pub(crate) mod process;
