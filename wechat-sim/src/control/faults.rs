//! How are faults queued by command?

use serde::Deserialize;
use serde_json::{Value, json};

use super::ControlError;
use crate::fault::{Plan, Target, Times};
use crate::operation::Op;
use crate::shared::State;

/// One, or several in their order.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum FaultList {
    One(QueuedFault),
    Many(Vec<QueuedFault>),
}

#[derive(Deserialize)]
pub(super) struct QueuedFault {
    op: Option<Op>,
    path: Option<String>,
    #[serde(flatten)]
    plan: Plan,
    #[serde(default = "once")]
    times: Times,
}

fn once() -> Times {
    Times::Next(1)
}

impl QueuedFault {
    fn target(&self) -> Result<Target, ControlError> {
        match (self.op, self.path.as_deref()) {
            (Some(op), None) => Ok(op.into()),
            (None, Some(path)) => Ok(path.into()),
            _ => Err(ControlError::BadRequest("a fault has either `op` or `path`".into())),
        }
    }
}

pub(super) fn queue(state: &mut State, faults: FaultList) -> Result<Value, ControlError> {
    let faults = match faults {
        FaultList::One(fault) => vec![fault],
        FaultList::Many(faults) => faults,
    };
    // All are read before the first is queued: a command that is not understood changes nothing.
    let faults: Result<Vec<_>, _> = faults.into_iter().map(|fault| Ok((fault.target()?, fault))).collect();
    for (target, QueuedFault { plan, times, .. }) in faults? {
        state.faults.push(target, plan, times);
    }
    Ok(json!({"queued": state.faults.len()}))
}
