//! Which fault does the next call meet?

use std::collections::VecDeque;

use super::{Fault, Plan, Target, Times};
use crate::operation::Op;

/// The faults that still wait for their calls, in the order in which they were queued.
#[derive(Debug, Default)]
pub(crate) struct Queue(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    target: Target,
    plan: Plan,
    times: Times,
}

impl Queue {
    /// Puts a fault behind the others. What stands behind one of [`Times::Always`] for the same calls is never reached.
    pub(crate) fn push(&mut self, target: Target, plan: Plan, times: Times) {
        if times != Times::Next(0) {
            self.0.push_back(Entry { target, plan, times });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the first fault that concerns this call; [`Fault::Pass`] when there is none.
    pub(crate) fn take(&mut self, op: Op, path: &str) -> Plan {
        let Some(place) = self.0.iter().position(|entry| entry.target.covers(op, path)) else {
            return Fault::Pass.into();
        };
        let entry = &mut self.0[place];
        let plan = entry.plan.clone();
        match entry.times {
            Times::Always => {}
            Times::Next(calls) if calls > 1 => entry.times = Times::Next(calls - 1),
            Times::Next(_) => {
                self.0.remove(place);
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_takes_the_next_fault_of_its_operation_or_its_path() {
        let mut queue = Queue::default();
        queue.push(Op::Token.into(), Fault::Hang.into(), Times::Next(2));
        queue.push(Op::Any.into(), Fault::Reset.minting(), Times::Next(1));
        queue.push("/b".into(), Fault::Close.into(), Times::Next(1));
        queue.push(Op::Api.into(), Fault::Empty.into(), Times::Always);
        assert_eq!(queue.take(Op::Token, "/a").fault, Fault::Hang);
        assert_eq!(queue.take(Op::Api, "/b"), Fault::Reset.minting());
        assert_eq!(queue.take(Op::Token, "/a").fault, Fault::Hang);
        assert_eq!(queue.take(Op::Token, "/a").fault, Fault::Pass);
        assert_eq!(queue.take(Op::Api, "/b/c").fault, Fault::Empty);
        assert_eq!(queue.take(Op::Api, "/b").fault, Fault::Close);
        assert_eq!(queue.take(Op::Api, "/b").fault, Fault::Empty);
        queue.clear();
        assert_eq!(queue.take(Op::Api, "/b").fault, Fault::Pass);
    }

    #[test]
    fn faults_are_written_in_json_as_the_readme_says() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(read(r#"{"status":502}"#), Fault::Status(502));
        assert_eq!(read(r#""hang""#), Fault::Hang);
        assert_eq!(read(r#"{"slow":"2s"}"#), Fault::Slow(std::time::Duration::from_secs(2)));
        assert_eq!(read(r#"{"body":"text"}"#), Fault::Body(b"text".to_vec()));
        assert_eq!(read(r#"{"body":[255,254]}"#), Fault::Body(vec![255, 254]));
        assert_eq!(read(r#"{"errcode":{"code":45009}}"#), Fault::errcode(45009));
        assert_eq!(read(r#"{"odd":{"expires_in":"7200"}}"#), Fault::Odd(crate::Odd::ExpiresIn("7200".into())));
        assert_eq!(read(r#"{"odd":"null_token"}"#), Fault::Odd(crate::Odd::NullToken));
    }
}
