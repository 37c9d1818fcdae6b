//! Which files were uploaded, and which of them are still there?

use std::collections::VecDeque;

use fastrand::Rng;
use serde::Serialize;

use super::recent::Recent;
use super::{Model, Platform, token_format};
use crate::content::{Content, Fingerprint};

/// The types of temporary media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A voice message.
    Voice,
    /// A film.
    Video,
    /// The small picture of a film.
    Thumb,
    /// Any file, at WeCom only.
    File,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct Media {
    /// The appid of the app, or the label of the agent, that has it.
    pub owner: String,
    /// As the upload called it.
    #[serde(rename = "type")]
    pub kind: MediaKind,
    /// The media type of the uploaded part.
    pub content_type: String,
    /// Its size and hash.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
    /// Its bytes, while they are kept.
    #[serde(skip)]
    pub(crate) content: Option<Content>,
}

/// All files, and how many of their bytes are in memory.
#[derive(Debug, Default)]
pub(super) struct MediaStore {
    files: Recent<Media>,
    /// Whose bytes are kept, the oldest first.
    kept: VecDeque<String>,
    kept_bytes: u64,
}

impl MediaKind {
    /// The type of this name, where the platform has it.
    pub fn named(name: &str, platform: Platform) -> Option<Self> {
        let last = match platform {
            Platform::WeChat => Self::Thumb,
            Platform::WeCom => Self::File,
        };
        [Self::Image, Self::Voice, Self::Video, last].into_iter().find(|kind| kind.name() == name)
    }

    /// The value of `type` in an upload.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::Thumb => "thumb",
            Self::File => "file",
        }
    }
}

impl Media {
    /// The end of a file's name, by its media type.
    pub(crate) fn extension(&self) -> &'static str {
        match self.content_type.as_str() {
            "image/jpeg" => "jpg",
            "image/png" => "png",
            "audio/amr" => "amr",
            "audio/mpeg" => "mp3",
            "video/mp4" => "mp4",
            _ => "bin",
        }
    }
}

impl MediaStore {
    /// Stores a file. The oldest files lose their bytes when there are too many.
    fn insert(&mut self, media: Media, most_bytes: u64, rng: &mut Rng) -> String {
        let media_id = token_format::media_id(rng);
        self.kept_bytes += media.in_memory();
        self.kept.push_back(media_id.clone());
        self.files.insert(media_id.clone(), media);
        while self.kept_bytes > most_bytes
            && let Some(oldest) = self.kept.pop_front()
        {
            if let Some(media) = self.files.find_mut(&oldest) {
                self.kept_bytes -= media.in_memory();
                media.content = None;
            }
        }
        media_id
    }
}

impl Media {
    fn in_memory(&self) -> u64 {
        self.content.as_ref().map_or(0, Content::in_memory)
    }
}

/// Files.
impl Model {
    /// The file of this id.
    pub fn media(&self, media_id: &str) -> Option<&Media> {
        self.media.files.find(media_id)
    }

    /// A file of made-up bytes that can be downloaded. They take no memory. `None`: unknown appid.
    pub fn make_media(&mut self, appid: &str, kind: MediaKind, content_type: &str, size: u64) -> Option<String> {
        let owner = self.apps.get_key_value(appid)?.0.clone();
        let content = Content::filler(size);
        let (content_type, fingerprint) = (content_type.to_owned(), content.fingerprint());
        Some(self.store_media(Media { owner, kind, content_type, fingerprint, content: Some(content) }))
    }

    pub(crate) fn store_media(&mut self, media: Media) -> String {
        self.media.insert(media, self.rules.media_kept_bytes, &mut self.rng)
    }

    /// The id of a file that never was.
    pub(crate) fn counterfeit_media_id(&mut self) -> String {
        token_format::media_id(&mut self.rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rules;

    fn media(size: usize) -> Media {
        let content = Content::from(vec![b'x'; size]);
        Media {
            owner: "wx1".into(),
            kind: MediaKind::Image,
            content_type: "image/png".into(),
            fingerprint: content.fingerprint(),
            content: Some(content),
        }
    }

    #[test]
    fn the_oldest_files_lose_their_bytes_first_and_are_remembered() {
        let mut model = Model::new(Rules { media_kept_bytes: 100, ..Rules::default() }, 1);
        let ids = [40, 40, 40].map(|size| model.store_media(media(size)));
        let kept = |model: &Model| ids.each_ref().map(|id| model.media(id).unwrap().content.is_some());
        assert_eq!(kept(&model), [false, true, true]);
        assert_eq!(model.media(&ids[0]).unwrap().fingerprint.size, 40);
        let too_long = model.store_media(media(101));
        assert!(model.media(&too_long).unwrap().content.is_none());
        assert_eq!(kept(&model), [false, false, false]);
        let next = model.store_media(media(100));
        assert!(model.media(&next).unwrap().content.is_some());
    }

    #[test]
    fn made_up_files_take_no_memory() {
        let mut model = Model::new(Rules { media_kept_bytes: 100, ..Rules::default() }, 1);
        model.register("wx1", "a secret");
        let kept = model.store_media(media(100));
        let made = model.make_media("wx1", MediaKind::Video, "video/mp4", 1_000_000).unwrap();
        assert_eq!(model.media(&made).unwrap().fingerprint.size, 1_000_000);
        assert!(model.media(&made).unwrap().content.is_some() && model.media(&kept).unwrap().content.is_some());
        assert!(model.make_media("nobody", MediaKind::Video, "video/mp4", 1).is_none());
    }
}
