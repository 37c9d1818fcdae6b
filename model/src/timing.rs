//! How long does what take? In ticks, the time between two polls of one relay. All are small, so that few states follow, and
//! keep their order. Where the design has room (r is 60 polls, the lease 12), the model has none: its margins are the tightest.

/// A moment, or a span.
pub type Tick = i8;

/// Moments count from now.
pub const NOW: Tick = 0;
/// So long ago, or longer: nothing depends on how much.
pub const LONG_AGO: Tick = -10;
/// After everything.
pub const NEVER: Tick = Tick::MAX;
/// R of the first token.
pub const FIRST_ROTATION: Tick = 2;
/// How long a call takes at most.
pub const CALL: Tick = 1;
/// What the lease's holder counts on from its last poll.
pub const LEASE: Tick = 2;
/// From the end of a lease to the next holder's first call; within so long all relays have heard of what is stored.
pub const SUCCESSION: Tick = 1;
/// After so long without a change of its presence a relay holds no lease.
pub const TAKE_OVER: Tick = LEASE + SUCCESSION;
/// r.
pub const RESERVE: Tick = 4;
/// O: what `WeChat` leaves the previous token after a mint.
pub const OVERLAP: Tick = 9;
/// O − r. A token's planned rotation is so long after its call, the earliest that the design allows.
pub const WINDOW: Tick = OVERLAP - RESERVE;
/// How long after the overlap a probe is believed.
pub const DEATH_MARGIN: Tick = 1;

/// What a moment is one tick later.
pub(crate) const fn age(at: &mut Tick) {
    if *at > LONG_AGO && *at < NEVER {
        *at -= 1;
    }
}
