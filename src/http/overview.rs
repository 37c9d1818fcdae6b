//! What do `GET /status` and the readiness say about the relay?

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::{Map, json};

use super::AppState;
use crate::{
    clock::{Timestamp, WallTime},
    credential::CredentialKind,
    registry::{Handle, Published},
    status::{FACTS, Failure, Readiness, State, Status, Value},
};

/// The settings in use.
#[derive(Debug, Clone, Serialize)]
pub struct SettingsStatus {
    /// When they were read.
    #[serde(serialize_with = "collect_str")]
    pub read_at: WallTime,
    /// Why the last change of the settings was refused, if it was.
    pub trouble: Option<String>,
    /// The keys whose changes count only after a restart.
    pub needs_restart: Vec<&'static str>,
    /// When the certificate of the public listener ends, if it speaks TLS.
    #[serde(serialize_with = "collect_str_of")]
    pub certificate_ends_at: Option<WallTime>,
}

impl SettingsStatus {
    /// Settings read at `read_at`, without trouble.
    pub fn read_at(read_at: WallTime) -> Self {
        Self { read_at, trouble: None, needs_restart: Vec::new(), certificate_ends_at: None }
    }
}

/// RFC 3339.
fn collect_str<S: Serializer>(at: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// The same, and null for `None`.
#[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
fn collect_str_of<S: Serializer>(at: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

/// The whole relay.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    pub(super) version: &'static str,
    pub(super) uptime_s: u64,
    pub(super) status: Readiness,
    pub(super) settings: SettingsStatus,
    /// Keepers that are silent, and for how many seconds.
    pub(super) silent_keepers_s: BTreeMap<String, u64>,
    pub(super) accounts: BTreeMap<String, Detail>,
}

impl Overview {
    pub(super) fn of(state: &AppState) -> Self {
        let handles = state.registry.handles();
        let now = state.clock.boot_now();
        let accounts = details(handles.iter(), now);
        let silent = handles.silent(state.clock.awake());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: state.uptime().as_secs(),
            status: readiness(&accounts),
            settings: SettingsStatus::clone(&state.settings.load()),
            silent_keepers_s: silent.map(|(id, silence)| (id.to_string(), silence.as_secs())).collect(),
            accounts,
        }
    }
}

/// What was published of these credentials, by their ids.
pub(super) fn details<'h>(
    handles: impl IntoIterator<Item = &'h Arc<Handle>>,
    now: Timestamp,
) -> BTreeMap<String, Detail> {
    let detail = |handle: &Handle| Detail { kind: handle.id.kind(), published: handle.published(), now };
    handles.into_iter().map(|handle| (handle.id.to_string(), detail(handle))).collect()
}

/// Whether these can be served.
pub(super) fn readiness(details: &BTreeMap<String, Detail>) -> Readiness {
    Readiness::of(details.values().map(|detail| detail.status().share(detail.kind, detail.now)))
}

/// One credential at a moment; serialized without token material.
#[derive(Debug)]
pub(super) struct Detail {
    kind: CredentialKind,
    published: Arc<Published>,
    now: Timestamp,
}

impl Detail {
    pub(super) fn status(&self) -> &Status {
        &self.published.status
    }

    pub(super) fn state(&self) -> State {
        self.status().state(self.now)
    }

    /// The little of it that `GET /readyz` shows.
    pub(super) fn brief(&self) -> serde_json::Value {
        let mut brief = json!({"state": self.state(), "seconds_left": self.status().seconds_left(self.now)});
        if let Some(trouble) = &self.status().store_trouble {
            brief["store_trouble"] = json!(trouble.to_string());
        }
        brief
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.status();
        let mut members = Map::new();
        members.insert("state".to_owned(), json!(self.state()));
        for fact in FACTS {
            let Some(member) = fact.member else { continue };
            let value = match (fact.read)(status, self.now) {
                Value::Seconds(number) | Value::Number(number) => json!(number),
                Value::Flag(is_so) => json!(is_so),
                Value::Absent(_) => json!(null),
            };
            match member.split_once('.') {
                None => members.insert(member.to_owned(), value),
                Some((outer, inner)) => {
                    let outer = members.entry(outer).or_insert_with(|| json!({}));
                    outer[inner] = value;
                    None
                }
            };
        }
        members.insert("lease".to_owned(), json!(status.lease));
        members.insert("trouble".to_owned(), json!(status.trouble.as_deref().map(Trouble::of)));
        members.insert("store_trouble".to_owned(), json!(status.store_trouble.as_ref().map(ToString::to_string)));
        members.serialize(serializer)
    }
}

/// The last failure.
#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errcode: Option<i64>,
    pub(super) message: String,
    pub(super) hint: String,
    /// RFC 3339.
    pub(super) at: String,
}

impl Trouble {
    pub(super) fn of(failure: &Failure) -> Self {
        Self {
            errcode: failure.error.errcode(),
            message: failure.errors.describe(&failure.error),
            hint: failure.errors.hint(&failure.error).into_owned(),
            at: failure.at.to_string(),
        }
    }
}
