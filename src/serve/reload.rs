//! How do changed settings reach a relay that runs?
//!
//! At SIGHUP, and when the settings file or a file that it names has other bytes than before, everything is read and validated
//! again. Only whole, valid settings are taken; otherwise the relay goes on with those that it has.

use std::{sync::Arc, time::Duration};

use tokio::{signal::unix::Signal, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Live, ServeError, fixed::Fixed};
use crate::{
    http::SettingsStatus,
    keepers::Changes,
    metrics::ReloadOutcome,
    settings::{CallsTooLong, Loaded, Settings, SettingsError, Source, Watched},
    systemd,
    telemetry::LogControl,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long changed files have to stay as they are before they are taken: half of a file that is being written may be valid.
const SETTLED_AFTER: Duration = Duration::from_millis(500);
/// How often they are read again while they go on changing, before the next look.
const MOST_READS: usize = 8;

/// So many secret files that everybody can read are named: with thousands of them one reason is enough.
const READABLE_NAMED: usize = 10;

/// Why changed settings are not taken.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Settings(#[from] SettingsError),
    #[error("{0}")]
    Relay(#[from] ServeError),
    #[error("{section}.{key}: {0}; what this relay was started with counts until it is started again", section = .0.key().0, key = .0.key().1)]
    Calls(#[from] CallsTooLong),
}

/// What watches over the settings of a relay.
pub(super) struct Reloader {
    pub(super) source: Arc<Source>,
    /// What the last attempt read.
    pub(super) files: Arc<Watched>,
    /// What changes with the settings.
    pub(super) live: Live,
    /// What does not.
    pub(super) fixed: Fixed,
    pub(super) logs: LogControl,
}

impl Reloader {
    /// Until `stop`. What it does then can be left as it is: everything else ends too.
    pub(super) async fn run(self, hangups: Signal, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow(hangups)).await;
    }

    async fn follow(mut self, mut hangups: Signal) {
        loop {
            let loaded = tokio::select! {
                _ = hangups.recv() => Some(load(&self.source).await),
                () = sleep(LOOK_EVERY) => self.changed().await,
                // further changes do not wait for the calls of accounts that were taken out
                () = self.live.keepers.settle(), if !self.live.keepers.is_settled() => None,
            };
            if let Some(Loaded { settings, files }) = loaded {
                warn_of_readable(&files, &self.files);
                self.files = files;
                systemd::reloading(self.live.app.clock.awake());
                let taken = self.take(settings);
                self.publish(taken);
                systemd::ready();
            }
        }
    }

    /// What was read, if the files have changed since the last attempt and stay as they were read.
    async fn changed(&self) -> Option<Loaded> {
        if !have_changed(&self.files).await {
            return None;
        }
        for _ in 0..MOST_READS {
            let loaded = load(&self.source).await;
            sleep(SETTLED_AFTER).await;
            if !have_changed(&loaded.files).await {
                return Some(loaded);
            }
        }
        None
    }

    /// Changes all or nothing. The keys that would need a restart are left as they are, and returned.
    fn take(&mut self, settings: Result<Settings, SettingsError>) -> Result<Vec<&'static str>, ReloadError> {
        let settings = settings?;
        self.fixed.check(&settings)?;
        let Changes { added, removed, replaced } = self.live.change_to(&settings)?;
        self.logs.follow(&settings.log);
        let (accounts, clients) = (settings.accounts.len(), settings.clients.len());
        info!(accounts, clients, added, removed, replaced, "the settings were read again, and count from now on");
        if self.live.takes_login(&settings.state) {
            self.fixed.is_reached_by(&settings.state.url);
        }
        Ok(self.fixed.changed_keys(&settings))
    }

    fn publish(&self, taken: Result<Vec<&'static str>, ReloadError>) {
        let app = &self.live.app;
        let now = app.clock.now().wall;
        let (outcome, status) = match taken {
            Ok(needs_restart) => {
                if !needs_restart.is_empty() {
                    warn!(keys = needs_restart.join(", "), "changed settings that count only after a restart");
                }
                let certificate_ends_at = self.live.listening.certificate_ends_at();
                let status = SettingsStatus { needs_restart, certificate_ends_at, ..SettingsStatus::read_at(now) };
                (ReloadOutcome::Ok, status)
            }
            Err(error) => {
                warn!(%error, "the changed settings cannot be used: the relay goes on with those that it has");
                let last = SettingsStatus::clone(&app.settings.load());
                (ReloadOutcome::Failed, SettingsStatus { trouble: Some(error.to_string()), ..last })
            }
        };
        app.metrics.settings.reloaded(outcome, now);
        app.settings.store(Arc::new(status));
    }
}

/// Names the secret files that every user of the machine can read, unless they were so `before`.
pub(super) fn warn_of_readable(files: &Watched, before: &Watched) {
    for file in files.readable_by_everybody().difference(before.readable_by_everybody()).take(READABLE_NAMED) {
        warn!(file = %file.display(), "every user of this machine can read this secret: chmod o-r");
    }
}

/// Reads the settings.
pub(crate) async fn load(source: &Arc<Source>) -> Loaded {
    let source = source.clone();
    blocking(move || source.load()).await
}

async fn have_changed(files: &Arc<Watched>) -> bool {
    let files = files.clone();
    blocking(move || files.have_changed()).await
}

/// A disk may be slow, and thousands of accounts take a while to read.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("reading the settings does not panic, and nobody aborts it")
}
