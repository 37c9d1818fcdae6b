//! How does a test give settings, and what does it look at in what `check` prints?

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use test_support::{Finished, run};
use token_relay::settings::{Layers, Settings, SettingsError};

use crate::RELAY;

pub(crate) const KEY: &str = "sentinel-8f3a-key-of-a-client-0000000000";
pub(crate) const SECRET: &str = "sentinel-8f3a-appsecret";
pub(crate) const SENTINEL: &str = "sentinel-8f3a";
pub(crate) const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// The smallest settings, as environment variables.
pub(crate) const SMALLEST: [(&str, &str); 3] = [
    ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx0123456789abcdef"),
    ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET),
    ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY),
];

pub(crate) fn env<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(OsString, OsString)> {
    variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

pub(crate) fn load<'a>(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Settings, SettingsError> {
    Settings::load(file, env(SMALLEST.into_iter().chain(variables)))
}

/// A file in a directory that lives as long as the test.
pub(crate) struct Written {
    dir: TempDir,
}

impl Written {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

pub(crate) fn quoted(path: &Path) -> String {
    toml::Value::from(path.to_str().unwrap()).to_string()
}

/// The smallest settings as a file, with other lines in place of those of a section.
pub(crate) fn toml(changes: &[(&str, &str)]) -> String {
    let mut sections = BTreeMap::from([
        ("accounts.main".to_owned(), format!("appid = \"wx1\"\nsecret = \"{SECRET}\"")),
        ("clients.orders".to_owned(), format!("key = \"{KEY}\"")),
    ]);
    sections.extend(changes.iter().map(|(section, lines)| ((*section).to_owned(), (*lines).to_owned())));
    sections.into_iter().fold(String::new(), |mut text, (section, lines)| {
        writeln!(text, "[{section}]\n{lines}").unwrap();
        text
    })
}

pub(crate) fn check(file: Option<&Path>, env: Vec<(OsString, OsString)>) -> Finished {
    let file = file.map(|file| ["--config".as_ref(), file.as_os_str()]);
    let arguments: Vec<&OsStr> = ["check".as_ref()].into_iter().chain(file.into_iter().flatten()).collect();
    run(RELAY, &arguments, env)
}

/// The one line that a refused start has to say.
pub(crate) fn refused(what: &str, output: Finished) -> String {
    let stderr = output.stderr;
    assert_eq!(output.code, Some(78), "{what}: {stderr}");
    assert!(output.stdout.is_empty(), "{what}");
    assert!(stderr.starts_with("token-relay: bad configuration: "), "{what}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{what}: {stderr}");
    assert!(!stderr.contains(SENTINEL), "{what}: {stderr}");
    stderr
}

pub(crate) fn origins(file: Option<&Path>, variables: &[(&str, &str)]) -> String {
    let layers = Layers::read(file, env(SMALLEST.into_iter().chain(variables.iter().copied()))).unwrap();
    layers.redacted(&Settings::from_layers(&layers).unwrap())
}

/// The line of a dotted key in what `check` prints.
pub(crate) fn line_of<'a>(printed: &'a str, key: &str) -> &'a str {
    let (section, name) = key.rsplit_once('.').unwrap();
    let body = printed.split(&format!("[{section}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
    body.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap_or_default()
}
