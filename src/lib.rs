//! The relay.
pub mod account;
pub mod cli;
pub mod commands;
pub mod settings;
