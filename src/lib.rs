//! The central WeChat access_token server (access_token 中控服务器): one process fetches, everyone reads.

pub mod account;
pub mod accounts;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod credential;
pub mod http;
pub mod issuer;
pub mod keeper;
pub mod lifecycle;
pub mod metrics;
pub mod pulse;
pub mod serve;
pub mod settings;
pub mod store;
pub mod telemetry;
