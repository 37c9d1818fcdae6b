//! Where do the settings come from, and have they changed since they were read?

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::layers::{file_named_by, is_ours};
use super::{Layers, Settings, SettingsError, readable};

/// At most so many bytes of a file are compared: more than any settings file or secret has.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The file and the environment that a relay was started with, to read its settings again.
///
/// It holds the settings of the environment, secrets included: `Debug` shows none of it.
pub struct Source {
    file: Option<PathBuf>,
    /// The roots by which WeChat's certificate is judged.
    bundle: Option<PathBuf>,
    env: BTreeMap<OsString, OsString>,
}

/// What was read at once: the settings or what is wrong with them, and the files that they came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, if they are valid.
    pub settings: Result<Settings, SettingsError>,
    /// To see whether any file changes.
    pub files: Arc<Watched>,
}

/// The files that settings came from, with what was in each: the settings file, and each file that it names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Watched {
    contents: BTreeMap<PathBuf, Content>,
    readable: BTreeSet<PathBuf>,
}

/// A digest of a file's bytes, or that it could not be read.
type Content = Result<[u8; 32], io::ErrorKind>;

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Source {
    /// Settings from `file`, or from the one that the environment names, and from the environment as it is now.
    pub fn new(file: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        // where it is named it is watched for, even if it is not there yet
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let bundle = named.or_else(|| openssl_probe::probe().cert_file);
        let env = env.into_iter().filter(|(name, _)| is_ours(name)).collect();
        Self { file: file.map(Path::to_owned), bundle, env }
    }

    /// Reads everything. What is in each file is looked at before it counts: a change in between is seen as one later.
    pub fn load(&self) -> Loaded {
        let mut files = Watched::default();
        self.file.clone().or_else(|| file_named_by(&self.env)).into_iter().for_each(|file| files.look_at(file));
        // every client to WeChat is made anew with the settings
        self.bundle.clone().into_iter().for_each(|bundle| files.look_at(bundle));
        let settings = Layers::read(self.file.as_deref(), self.env.clone()).and_then(|layers| {
            layers.named_files().into_iter().for_each(|file| files.look_at(file));
            files.readable = layers.secret_files().into_iter().filter(|file| readable::by_everybody(file)).collect();
            Settings::from_layers(&layers)
        });
        Loaded { settings, files: Arc::new(files) }
    }
}

impl Watched {
    fn look_at(&mut self, file: PathBuf) {
        let content = content(&file);
        self.contents.insert(file, content);
    }

    /// The secret files among them that every user of the machine can read.
    pub fn readable_by_everybody(&self) -> &BTreeSet<PathBuf> {
        &self.readable
    }

    /// Whether any of the files has other bytes by now, has come or has gone. It reads all of them.
    pub fn have_changed(&self) -> bool {
        self.contents.iter().any(|(file, seen)| content(file) != *seen)
    }
}

/// By its bytes: a file that is replaced by an equal one has not changed, and time stamps of two writes may be the same. A pipe
/// is left alone, for what is read of it nobody else reads.
fn content(file: &Path) -> Content {
    let digest = || {
        if !fs::metadata(file)?.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut bytes = Vec::new();
        File::open(file)?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(Sha256::digest(bytes).into())
    };
    digest().map_err(|error: io::Error| error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(dir: &Path) -> Source {
        let text = format!(
            "[accounts.main]\nappid = \"wx1\"\nsecret_file = {:?}\n[clients.orders]\nkeys = [{{ key_file = {:?} }}]\n",
            dir.join("secret"),
            dir.join("key"),
        );
        fs::write(dir.join("relay.toml"), text).unwrap();
        fs::write(dir.join("secret"), "a-secret").unwrap();
        fs::write(dir.join("key"), "a-key-of-32-characters-or-a-few-more").unwrap();
        Source::new(None, [("TOKEN_RELAY_CONFIG".into(), dir.join("relay.toml").into())])
    }

    #[test]
    fn a_change_of_any_file_is_seen_and_the_same_bytes_again_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path());
        for name in ["relay.toml", "secret", "key"] {
            let Loaded { settings, files } = source.load();
            settings.unwrap();
            let bundle = usize::from(source.bundle.is_some());
            assert_eq!((files.contents.len(), files.have_changed()), (3 + bundle, false));
            let bytes = fs::read(dir.path().join(name)).unwrap();
            fs::remove_file(dir.path().join(name)).unwrap();
            assert!(files.have_changed(), "{name} is gone");
            let gone = source.load();
            assert!(gone.settings.is_err() && !gone.files.have_changed(), "seen once");
            fs::write(dir.path().join(name), &bytes).unwrap();
            assert!(!files.have_changed() && gone.files.have_changed());
            fs::write(dir.path().join(name), [&bytes[..], b"\n"].concat()).unwrap();
            assert!(files.have_changed());
        }
    }

    #[test]
    fn a_pipe_is_read_once_and_never_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let mut pipe = Watched::default();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::Mode::RWXU).unwrap();
        pipe.look_at(dir.path().join("pipe"));
        assert!(!pipe.have_changed());
    }
}
