//! The task that owns a credential.
pub mod machine;
pub mod record;
pub mod schedule;
