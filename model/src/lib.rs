//! Which orders of events can make several relays on one store break a promise? The design of the lease, presence, change
//! number and late tokens (docs/ARCHITECTURE.md) as a small model, of which every order of events is explored.
//!
//! It is a model of the design, written anew after `src/keeper/machine`, `src/keeper/record` and `src/group`, not of the
//! code: the simulation in `tests/simulation` runs that. So it leaves out:
//!
//! - **Real time.** Moments are ticks, counted from now ([`timing`]); what lies ten ticks back lies there for ever. A relay
//!   polls once in each tick and does at once what is due; in between everything can happen in any order.
//! - **Clocks.** All run alike, so a moment in a record has no bounds but the ones that the design itself gives it.
//! - **The end of a life**: all tokens outlive the run. A call is due by R or by another call, never because none lives. So
//!   excuses 4, 5 (an unreadable record) and 6 of the simulation cannot occur.
//! - **Outsiders**: nobody else rotates or revokes, no probe is refused wrongly, and no report is made. A probe is made only
//!   to decide for or against a candidate; nothing is served with `expires_in` 1 because a probe was accepted.
//! - **Budgets, back-offs, jitter, permits, stops.** A lease is taken in the tick in which it is free.
//! - **Partial answers of the store.** A poll reads all or nothing of a record, and who writes knows whether it was
//!   done. A presence is seen as soon as it is shown, so no relay could take over sooner.
//! - **Large losses.** The store loses its last write, one that is a tick old at most, and nothing else.

mod check;
mod forget;
mod learning;
mod normal;
mod possible;
pub mod record;
pub mod relay;
pub mod setup;
pub mod store;
pub mod timing;
pub mod wechat;
pub mod world;

pub use check::{Explored, exhaust};
pub use setup::{Faults, Rule, Setup};
