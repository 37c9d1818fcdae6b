//! What may stand in a command?

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A member that may be left out. Unlike `Option` it tells that from `null`.
#[derive(Default)]
pub(super) enum Member<T> {
    /// Left out: what it is about stays as it is.
    #[default]
    Absent,
    Told(T),
}

/// A duration as people write it, `"1m 30s"`.
#[derive(Clone, Copy)]
pub(super) struct Lasting(Duration);

impl<T> Member<T> {
    pub(super) fn replace<P: From<T>>(self, place: &mut P) {
        match self {
            Member::Absent => {}
            Member::Told(value) => *place = value.into(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Member::Told)
    }
}

impl<'de> Deserialize<'de> for Lasting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl From<Lasting> for Duration {
    fn from(lasting: Lasting) -> Self {
        lasting.0
    }
}
