//! How does a line of the log say which credential it is about?

/// Logs at `$level` (`info`, `warn` …) with the fields `account` and `credential`, and what follows as `tracing` takes it.
/// A macro: `tracing` fixes the names of an event's fields where it is written.
macro_rules! log_credential {
    ($level:ident, $id:expr, $($event:tt)+) => {{
        let id: &$crate::credential::CredentialId = $id;
        ::tracing::$level!(account = %id.account(), credential = id.kind().label(), $($event)+)
    }};
}

pub(crate) use log_credential;
