//! `GET /cgi-bin/user/info`: a follower of an official account. Every openid is one.

use serde::Serialize;

use super::with_token::with_token;
use super::{Answer, Route, present};
use crate::http::Intake;
use crate::model::Refusal;
use crate::operation::Op;

pub(super) const USER_INFO: Route = Route {
    op: Op::Api,
    intake: Intake::Whole,
    read: |request| {
        let openid = present(request, "openid");
        with_token(request, move |accepted| {
            openid.as_deref().map(|openid| follower(openid, accepted.at.unix_s)).ok_or(Refusal::MissingOpenid)
        })
    },
    fake_answer: |model| follower(&model.new_openid(), 0),
};

fn follower(openid: &str, subscribe_time: u64) -> Answer {
    Answer::json(&Follower {
        subscribe: 1,
        openid,
        language: "zh_CN",
        subscribe_time,
        remark: "",
        groupid: 0,
        tagid_list: [],
    })
}

#[derive(Serialize)]
struct Follower<'a> {
    subscribe: u8,
    openid: &'a str,
    language: &'static str,
    subscribe_time: u64,
    remark: &'static str,
    groupid: u8,
    tagid_list: [u32; 0],
}
