//! Which remedy does each errcode call for? One table.
use super::Remedy;
use std::time::Duration;
/// The remedy for `errcode`.
pub fn remedy(_errcode: i64) -> Remedy {
    Remedy::Operator(Duration::from_secs(300))
}
/// What the operator should do.
pub fn hint(_errcode: i64, _errmsg: &str) -> String {
    String::new()
}
