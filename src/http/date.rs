//! What is the `Date` of an answer in front of hyper? The one that hyper would give.

use std::{cell::Cell, time::Duration};

use crate::clock::{Clock, Timestamp};

/// As long as every date.
const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// A date, and from when to when it is the right one; a wall clock that is set meanwhile counts from the next second on.
#[derive(Debug, Clone, Copy)]
struct Made {
    since: Timestamp,
    until: Timestamp,
    text: [u8; LENGTH],
}

/// The date at `now`. Made once in each second by each thread, so that a read looks at one clock only.
pub(super) fn at(now: Timestamp, clock: &dyn Clock) -> Option<[u8; LENGTH]> {
    const NONE: Made = Made { since: Timestamp::NEVER, until: Timestamp::LONG_AGO, text: [0; LENGTH] };
    thread_local!(static LAST: Cell<Made> = const { Cell::new(NONE) });
    let last = LAST.get();
    if last.since <= now && now < last.until {
        return Some(last.text);
    }
    let wall = clock.wall_now();
    let text = wall.to_http_date()?.into_bytes().try_into().ok()?;
    let left = 1000 - wall.as_millis().rem_euclid(1000).unsigned_abs();
    LAST.set(Made { since: now, until: now.plus(Duration::from_millis(left)), text });
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;

    #[test]
    fn the_date_changes_with_the_second() {
        let clock = FixedClock::default();
        let date = || at(clock.boot_now(), &clock).map(|date| String::from_utf8(date.to_vec()).unwrap());
        for _ in 0..30 {
            assert_eq!(date(), clock.wall_now().to_http_date());
            clock.advance(Duration::from_millis(130));
        }
    }
}
