//! Which settings does a relay keep until it is started again?

use std::{net::SocketAddr, time::Duration};

use crate::settings::{CallsTooLong, LogFormat, Prefix, Settings, StateUrl};

/// Those that it was started with.
pub(super) struct Fixed {
    listen: SocketAddr,
    admin_listen: Option<SocketAddr>,
    shutdown_grace: Duration,
    state: StateUrl,
    prefix: Prefix,
    log_format: LogFormat,
}

impl Fixed {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            listen: settings.server.listen,
            admin_listen: settings.server.admin_listen,
            shutdown_grace: settings.server.shutdown_grace,
            state: settings.state.url.clone(),
            prefix: settings.state.redis.prefix.clone(),
            log_format: settings.log.format,
        }
    }

    /// Whether the calls of these settings end in time in this process.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), CallsTooLong> {
        CallsTooLong::judge(settings.wechat.timeout, self.shutdown_grace, &self.state)
    }

    /// The state store is the same, with another password.
    pub(super) fn is_reached_by(&mut self, url: &StateUrl) {
        self.state = url.clone();
    }

    /// The keys that have another value in `settings`.
    pub(super) fn changed_keys(&self, settings: &Settings) -> Vec<&'static str> {
        let given = Self::of(settings);
        let keys = [
            ("server.listen", self.listen != given.listen),
            ("server.admin_listen", self.admin_listen != given.admin_listen),
            ("server.shutdown_grace", self.shutdown_grace != given.shutdown_grace),
            ("state.url", self.state != given.state),
            ("state.prefix", self.prefix != given.prefix),
            ("log.format", self.log_format != given.log_format),
        ];
        keys.into_iter().filter_map(|(key, is_another)| is_another.then_some(key)).collect()
    }
}
