//! Files: `POST /cgi-bin/media/upload` and `GET /cgi-bin/media/get`.

use http_range_header::parse_range_header;
use serde::Serialize;

use super::with_token::with_token;
use super::{Answer, Operation, Route, present};
use crate::content::Content;
use crate::http::{Intake, Received, Reply, Request};
use crate::model::{Media, MediaKind, Platform, Refusal};
use crate::operation::Op;

pub(super) const UPLOAD: Route = Route {
    op: Op::Media,
    intake: Intake::File,
    read: upload,
    fake_answer: |model| uploaded(MediaKind::Image, &model.counterfeit_media_id(), 0),
};
pub(super) const DOWNLOAD: Route = Route {
    op: Op::Media,
    intake: Intake::Whole,
    read: download,
    fake_answer: |_| whole(&Content::filler(1000), "image/jpeg", "counterfeit.jpg"),
};

fn upload(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    if request.method != "POST" {
        return Err(Refusal::NotPost);
    }
    let kind = present(request, "type");
    let file = match &request.received {
        Received::File(file) => file.clone(),
        Received::Whole(_) | Received::Fingerprint(_) => None,
    };
    with_token(request, move |accepted| {
        let kind = kind.as_deref().and_then(|kind| MediaKind::named(kind, accepted.platform));
        let kind = kind.ok_or(Refusal::InvalidMediaType)?;
        let file = file.clone().ok_or(Refusal::MissingMedia)?;
        let (owner, unix_s) = (accepted.appid.to_owned(), accepted.at.unix_s);
        let (content_type, fingerprint, content) = (file.content_type, file.fingerprint, file.content);
        let media_id = accepted.model.store_media(Media { owner, kind, content_type, fingerprint, content });
        Ok(match accepted.platform {
            Platform::WeChat => uploaded(kind, &media_id, unix_s),
            Platform::WeCom => {
                let (r#type, created_at) = (kind.name(), unix_s.to_string());
                Answer::json(&UploadedToWecom { errcode: 0, errmsg: "ok", r#type, media_id: &media_id, created_at })
            }
        })
    })
}

fn download(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(Refusal::NotGet);
    }
    let (media_id, range) = (present(request, "media_id"), request.header("range").map(str::to_owned));
    with_token(request, move |accepted| {
        let media_id = media_id.as_deref().ok_or(Refusal::MissingMediaId)?;
        let media = accepted.model.media(media_id).filter(|media| media.owner == accepted.appid);
        let media = media.ok_or(Refusal::InvalidMediaId)?;
        let content = media.content.as_ref().ok_or(Refusal::InvalidMediaId)?;
        let name = format!("{media_id}.{}", media.extension());
        Ok(match range.as_deref() {
            Some(range) => part(content, &media.content_type, &name, range),
            None => whole(content, &media.content_type, &name),
        })
    })
}

fn uploaded(kind: MediaKind, media_id: &str, created_at: u64) -> Answer {
    Answer::json(&Uploaded { r#type: kind.name(), media_id, created_at })
}

#[derive(Serialize)]
struct Uploaded<'a> {
    r#type: &'static str,
    media_id: &'a str,
    created_at: u64,
}

/// The moment is a text here.
#[derive(Serialize)]
struct UploadedToWecom<'a> {
    errcode: i64,
    errmsg: &'static str,
    r#type: &'static str,
    media_id: &'a str,
    created_at: String,
}

fn whole(content: &Content, content_type: &str, name: &str) -> Answer {
    Answer::Other(file(200, content.clone(), content_type, name))
}

fn file(status: u16, content: Content, content_type: &str, name: &str) -> Reply {
    Reply::new(status, content_type.to_owned(), content)
        .with("Accept-Ranges", "bytes")
        .with("Content-Disposition", format!("attachment; filename=\"{name}\""))
}

/// The one range asked for. Several at once, and what is no range, get the whole file, as RFC 9110 allows.
fn part(content: &Content, content_type: &str, name: &str, range: &str) -> Answer {
    let Ok(ranges) = parse_range_header(range) else { return whole(content, content_type, name) };
    let size = content.len();
    let Ok(ranges) = ranges.validate(size) else {
        return Answer::Other(Reply::html(416).with("Content-Range", format!("bytes */{size}")));
    };
    let [range] = ranges.as_slice() else { return whole(content, content_type, name) };
    let (first, last) = (*range.start(), *range.end());
    let reply = file(206, content.part(first..last + 1), content_type, name);
    Answer::Other(reply.with("Content-Range", format!("bytes {first}-{last}/{size}")))
}
