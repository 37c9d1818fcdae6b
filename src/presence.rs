//! By what do several relays on one store know one another?

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::clock::{BootId, ClockOffset, Timestamp};

/// No machine is up for longer: a boot clock that shows more, or less than nothing, is not believed.
const LONGEST_UPTIME: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// One relay process among several on one store: random, new at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

/// What a relay shows of itself with every poll. Together the presences tell everybody how far apart the clocks are: one read
/// after its relay had seen beat 7 of ours was read after we had sent that beat, and before we saw the reading.
///
/// Relays of two versions run side by side, and one that is taken for gone loses its leases while it calls. So all but the beat
/// is optional: what cannot be read counts as not shown, entry by entry in the lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Shown")]
pub struct Presence {
    /// Greater with every poll: by it the others see that the relay lives.
    pub beat: u64,
    /// What `boot_at` counts from. Empty where the clock is not known.
    pub boot_id: BootId,
    /// The relay's boot clock, read just before the poll was sent: how the others read the moments in its records.
    pub boot_at: Timestamp,
    /// The last beat that it had seen by then of each other relay that lives.
    pub heard: Vec<(ReplicaId, u64)>,
    /// How far its boot clock is ahead of others that it has measured, also of relays that are gone: they may have written
    /// the record that the next relay starts with.
    pub clocks: Vec<(BootId, ClockOffset)>,
}

/// A presence as it was found.
#[derive(Deserialize)]
struct Shown {
    beat: u64,
    #[serde(default)]
    boot_id: Value,
    #[serde(default)]
    boot_at: Value,
    #[serde(default)]
    heard: Value,
    #[serde(default)]
    clocks: Value,
}

impl From<Shown> for Presence {
    fn from(Shown { beat, boot_id, boot_at, heard, clocks }: Shown) -> Self {
        let uptimes = Timestamp::default()..Timestamp::default().plus(LONGEST_UPTIME);
        let boot_at = readable(boot_at).filter(|boot_at| uptimes.contains(boot_at));
        let (boot_id, boot_at) = readable(boot_id).zip(boot_at).unwrap_or_default();
        Self { beat, boot_id, boot_at, heard: readable_entries(heard), clocks: readable_entries(clocks) }
    }
}

fn readable<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn readable_entries<T: DeserializeOwned>(list: Value) -> Vec<T> {
    let entries: Vec<Value> = readable(list).unwrap_or_default();
    entries.into_iter().filter_map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Bounds;

    fn presence(json: &str) -> Option<Presence> {
        serde_json::from_str(json).ok()
    }

    fn full() -> Presence {
        let offset = ClockOffset::between(Timestamp::from_micros(5), Bounds::from(Timestamp::from_micros(-9)));
        Presence {
            beat: u64::MAX,
            boot_id: BootId::from_text("here"),
            boot_at: Timestamp::from_micros(5_000_000),
            heard: vec![(ReplicaId(u64::MAX), 7), (ReplicaId(2), 8)],
            clocks: vec![(BootId::from_text("there"), offset)],
        }
    }

    #[test]
    fn a_presence_is_read_as_it_was_written() {
        assert_eq!(presence(&serde_json::to_string(&full()).unwrap()), Some(full()));
    }

    #[test]
    fn whatever_else_changes_a_beat_shows_life() {
        let without_clock = Presence { boot_id: BootId::default(), boot_at: Timestamp::default(), ..full() };
        for odd in ["null", "true", "[]", "{}", "[[]]", "-1", "1.5", "\"new\"", "18446744073709551615"] {
            for field in ["boot_id", "boot_at", "heard", "clocks"] {
                let mut json = serde_json::to_value(full()).unwrap();
                json[field] = serde_json::from_str(odd).unwrap();
                let read = presence(&json.to_string()).unwrap_or_else(|| panic!("{json}"));
                let expected = match field {
                    "heard" => Presence { heard: Vec::new(), ..full() },
                    "clocks" => Presence { clocks: Vec::new(), ..full() },
                    "boot_id" if odd == "\"new\"" => Presence { boot_id: BootId::from_text("new"), ..full() },
                    _ => without_clock.clone(),
                };
                assert_eq!(read, expected, "{json}");
            }
        }
        let beat_only = Presence { beat: 5, heard: Vec::new(), clocks: Vec::new(), ..without_clock };
        assert_eq!(presence(r#"{"beat":5}"#), Some(beat_only));
        assert_eq!(presence(r#"{"beat":5,"more":{"beat":"x"}}"#).map(|read| read.beat), Some(5));
        for dead in ["foreign", "{}", r#"{"beat":"5"}"#, r#"{"beat":-1}"#, "5"] {
            assert_eq!(presence(dead), None, "{dead}");
        }
    }

    #[test]
    fn of_a_list_each_entry_is_read_or_passed_over_for_itself() {
        let json = r#"{"beat":1,
            "heard":[[3,4],["new",4],[5],{"id":6},[7,8,9],[10,11]],
            "clocks":[["a",{"least_us":9,"most_us":3}],["b",{"least_us":3,"most_us":9,"more":1}],["c",{"least_us":1}],
                ["d",{"least_us":-9223372036854775808,"most_us":0}],["e",{"least_us":0,"most_us":9223372036854775807}]]}"#;
        let Presence { heard, clocks, .. } = presence(json).unwrap();
        assert_eq!(heard, [(ReplicaId(3), 4), (ReplicaId(10), 11)]);
        assert_eq!(clocks.iter().map(|(boot_id, _)| boot_id.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_boot_clock_that_no_machine_shows_is_not_believed() {
        for (boot_at, is_believed) in [(0, true), (3_000_000_000_000_000, true), (-1, false), (i64::MAX, false)] {
            let read = presence(&format!(r#"{{"beat":1,"boot_id":"here","boot_at":{boot_at}}}"#)).unwrap();
            assert_eq!(read.boot_id == BootId::from_text("here"), is_believed, "{boot_at}");
        }
    }
}
