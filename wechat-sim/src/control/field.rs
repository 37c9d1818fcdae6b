//! How are the fields of a command read?

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A field that may be left out. Unlike `Option` it distinguishes that from `null`.
#[derive(Default)]
pub(super) enum Field<T> {
    /// Left out: the value stays as it is.
    #[default]
    Absent,
    Given(T),
}

/// A duration as people write it, `"1m 30s"`.
#[derive(Clone, Copy)]
pub(super) struct HumanDuration(Duration);

impl<T> Field<T> {
    pub(super) fn apply_to<P: From<T>>(self, target: &mut P) {
        match self {
            Field::Absent => {}
            Field::Given(value) => *target = value.into(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Field::Given)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}
