//! Messages to users. They are checked and go nowhere.

use super::with_token::{text, with_token_and_object};
use super::{Answer, Route};
use crate::http::Intake;
use crate::model::Refusal;
use crate::operation::Op;

pub(super) const MESSAGE: Route = Route {
    op: Op::Api,
    intake: Intake::Whole,
    read: |request| {
        with_token_and_object(request, |_, message| {
            text(message, "touser").map(|_| Answer::done()).ok_or(Refusal::InvalidOpenid)
        })
    },
    fake_answer: |_| Answer::done(),
};
