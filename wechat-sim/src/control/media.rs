//! How does a test get a file to download, and ask what was uploaded?

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ControlError, appid_of};
use crate::model::MediaKind;
use crate::shared::State;

/// A file of made-up bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Make {
    appid: Option<String>,
    size: u64,
    #[serde(default = "jpeg")]
    content_type: String,
}

/// Its hash is computed at once.
const MOST: u64 = 1024 * 1024 * 1024;

fn jpeg() -> String {
    "image/jpeg".into()
}

pub(super) fn make(state: &mut State, file: &Make) -> Result<Value, ControlError> {
    if file.size > MOST {
        return Err(ControlError::BadRequest("`size` is at most 1 GiB".into()));
    }
    if !file.content_type.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ControlError::BadRequest("`content_type` is a media type".into()));
    }
    let appid = appid_of(state, file.appid.as_deref())?;
    let made = state.model.make_media(&appid, MediaKind::Image, &file.content_type, file.size);
    let media_id = made.ok_or(ControlError::NotFound("no such app"))?;
    Ok(json!({"media_id": media_id, "sha256": state.model.media(&media_id).map(|media| &media.fingerprint.sha256)}))
}

pub(super) fn media(state: &State, media_id: &str) -> Result<Value, ControlError> {
    let media = state.model.media(media_id).ok_or(ControlError::NotFound("no such file"))?;
    Ok(json!(media))
}
