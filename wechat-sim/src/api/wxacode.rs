//! `POST /wxa/getwxacode`: the picture of a mini program's code, of a size that a test chooses.

use super::with_token::{text, with_token_and_object};
use super::{Answer, Route};
use crate::content::Content;
use crate::http::{Intake, Reply};
use crate::model::{Model, Refusal};
use crate::operation::Op;

pub(super) const WXACODE: Route = Route {
    op: Op::Api,
    intake: Intake::Whole,
    read: |request| {
        with_token_and_object(request, |accepted, parameters| {
            text(parameters, "path").map(|_| picture(accepted.model)).ok_or(Refusal::InvalidPath)
        })
    },
    fake_answer: |model| picture(model),
};

fn picture(model: &Model) -> Answer {
    let body = Content::filler(model.rules().wxacode_bytes);
    Answer::Other(
        Reply::new(200, "image/jpeg", body).with("Content-Disposition", "attachment; filename=\"QRCode.jpg\""),
    )
}
