//! How many calls came by each route, with which tokens, and how many were refused?

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Call, Outcome};
use crate::token_id::TokenId;

/// The calls of one route since the start, those included that the log of calls has forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteCalls {
    /// All of them.
    pub calls: u64,
    /// How many were refused, by errcode; faults count as well.
    pub refused: BTreeMap<i64, u64>,
    /// How many came with which token, for the first 1,000 tokens.
    pub tokens: BTreeMap<TokenId, u64>,
}

/// The calls by their route.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<String, RouteCalls>);

/// What comes from outside must not fill the memory: the routes counted apart, and the tokens of each.
const ROUTES: usize = 1000;
const TOKENS: usize = 1000;

/// Where the calls of further routes are counted. Not a path, so no call can claim it.
const FURTHER: &str = "further routes";

impl Tally {
    pub(super) fn opened(&mut self, call: &Call) {
        let route = self.route(&call.route);
        route.calls += 1;
        let Some(token) = call.token else { return };
        if route.tokens.len() < TOKENS || route.tokens.contains_key(&token) {
            *route.tokens.entry(token).or_default() += 1;
        }
    }

    pub(super) fn closed(&mut self, call: &Call) {
        if let Outcome::Refused(errcode) = call.outcome {
            *self.route(&call.route).refused.entry(errcode).or_default() += 1;
        }
    }

    pub(super) fn routes(&self) -> &BTreeMap<String, RouteCalls> {
        &self.0
    }

    fn route(&mut self, route: &str) -> &mut RouteCalls {
        let known = self.0.len() < ROUTES || self.0.contains_key(route);
        self.0.entry(if known { route } else { FURTHER }.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operation::Op;

    fn call(route: usize, token: usize) -> Call {
        Call {
            op: Op::Api,
            route: format!("/{route}"),
            token: Some(TokenId::of(&token.to_string())),
            appid: String::new(),
            at: Duration::ZERO,
            forced: false,
            minted: false,
            outcome: Outcome::Refused(40001),
        }
    }

    #[test]
    fn no_number_of_routes_or_tokens_fills_the_memory_and_no_call_is_lost() {
        let mut tally = Tally::default();
        for number in 0..3000 {
            for call in [call(0, number), call(number, 0)] {
                tally.opened(&call);
                tally.closed(&call);
            }
        }
        assert_eq!(tally.routes().len(), ROUTES + 1);
        let first = &tally.routes()["/0"];
        assert_eq!((first.calls, first.tokens.len(), first.refused[&40001]), (3001, TOKENS, 3001));
        assert_eq!(tally.routes()[FURTHER].calls, 2000);
    }
}
