//! What do the defaults, the file and the environment set together, and which of them sets it?

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, FileFormat, Format, Map, Source, Value, ValueKind};

use super::entry::{Table, as_table};
use super::error::SettingsError;
use super::file;
use super::schema::{self, PathKind};

/// The variable that names the settings file, where `--config` does not.
pub const CONFIG_VARIABLE: &str = "TOKEN_RELAY_CONFIG";

/// Variables with this prefix are settings. Kubernetes makes `TOKEN_RELAY_PORT` and the like for a service of our name: those
/// have single underscores only and are no settings.
const PREFIX: &str = "TOKEN_RELAY__";

/// The longest settings file, in bytes: ten thousand accounts take two million.
const LONGEST: usize = 16 * 1024 * 1024;

/// The layers, merged: later wins, tables merge, lists replace. Every value knows the file or the variable that it came from.
///
/// A key that is refused (unknown, misplaced, not UTF-8) is kept aside: [`Layers::sound`] returns the first. So a health check
/// can read the one key that it needs, even if others are refused. Secrets are here as `config` has them, not wiped on
/// drop: drop the layers once the settings are made.
pub struct Layers {
    merged: Value,
    refused: Vec<SettingsError>,
}

impl Layers {
    /// Reads the file (`file`, else the one that [`CONFIG_VARIABLE`] names, else none) and the environment.
    ///
    /// # Errors
    /// The file cannot be read, or is not TOML.
    pub fn read(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        match Self::read_what_can_be(file, env) {
            (layers, None) => Ok(layers),
            (_, Some(error)) => Err(error),
        }
    }

    /// As [`Layers::read`], for commands that need only a few keys of a relay that runs: where the file cannot be read, that is the
    /// error, and the layers are those without it.
    pub fn read_what_can_be(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Self, Option<SettingsError>) {
        // Sorted, so that the first problem is the same one every time.
        let env: BTreeMap<OsString, OsString> = env.into_iter().collect();
        let named = file_named_by(&env);
        let file = match (file, &named) {
            (Some(path), _) => Layer::of_file(path, "--config"),
            (None, Some(path)) => Layer::of_file(path, CONFIG_VARIABLE),
            (None, None) => Ok(Layer::default()),
        };
        let (file, error) = file.map_or_else(|error| (Layer::default(), Some(error)), |layer| (layer, None));
        let layers = [Layer::of_defaults(), file, Layer::of_environment(&env)];
        let mut builder = Config::builder();
        let mut refused = Vec::new();
        for mut layer in layers {
            refused.append(&mut layer.refused);
            builder = builder.add_source(layer);
        }
        let merged = builder.build().expect("no layer fails: every path in it was looked up in the schema").cache;
        (Self { merged, refused }, error)
    }

    /// Whether no key was refused.
    ///
    /// # Errors
    /// The first key that was refused.
    pub fn sound(&self) -> Result<(), SettingsError> {
        self.refused.first().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The files that keys name: whose text counts, and is not here.
    pub(super) fn named_files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        add_files(&self.merged, |key| key.ends_with("_file"), &mut files);
        files
    }

    /// Those of them that hold a secret: a certificate is none.
    pub(super) fn secret_files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let is_public = |key: &str| key.ends_with("cert_file") || key.ends_with("ca_file");
        add_files(&self.merged, |key| key.ends_with("_file") && !is_public(key), &mut files);
        files
    }

    /// The section of that name, dots included, empty where none of its keys is set.
    pub(super) fn section(&self, name: &str) -> Table<'_> {
        let values =
            name.split('.').try_fold(&self.merged, |table, part| as_table(table)?.get(part)).and_then(as_table);
        Table::new(name.to_owned(), values)
    }

    /// The tables of `[accounts]` or `[clients]`, by name and in order.
    pub(super) fn tables(&self, section: &str) -> Vec<(String, Table<'_>)> {
        let values = as_table(&self.merged).and_then(|root| root.get(section)).and_then(as_table);
        let sorted: BTreeMap<_, _> = values.into_iter().flatten().collect();
        let table =
            |(name, value): (&String, _)| (name.clone(), Table::new(format!("{section}.{name}"), as_table(value)));
        sorted.into_iter().map(table).collect()
    }
}

impl fmt::Debug for Layers {
    /// `config`'s own shows the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// Adds the files that keys name which `counts` takes.
fn add_files(value: &Value, counts: impl Fn(&str) -> bool + Copy, files: &mut BTreeSet<PathBuf>) {
    match &value.kind {
        ValueKind::Array(items) => items.iter().for_each(|item| add_files(item, counts, files)),
        ValueKind::Table(table) => {
            for (name, value) in table {
                match &value.kind {
                    ValueKind::String(path) if counts(name) && !path.is_empty() => {
                        files.insert(path.into());
                    }
                    _ => add_files(value, counts, files),
                }
            }
        }
        _ => {}
    }
}

/// One layer: dotted paths that the schema knows, with their values.
///
/// `config` reads a path as an expression with subscripts, so none reaches it unseen. Its own file and environment sources
/// are not used: the one takes `server[9999999999]` for a list of that length, the other forgets which variable set what.
#[derive(Clone, Default)]
struct Layer {
    values: BTreeMap<String, Value>,
    refused: Vec<SettingsError>,
}

impl Layer {
    fn of_defaults() -> Self {
        let mut layer = Self::default();
        for (section, keys) in schema::SECTIONS {
            for key in *keys {
                let default = key.default.expect("a key of a fixed section has a default");
                layer.values.insert(format!("{section}.{}", key.name), Value::new(None, default));
            }
        }
        layer
    }

    fn of_file(path: &Path, named_by: &str) -> Result<Self, SettingsError> {
        let as_text = |bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"));
        let text = file::read(path, LONGEST)
            .and_then(as_text)
            .map_err(|e| SettingsError::file(path, format!("cannot be read: {e}"), named_by))?;
        let origin = path.display().to_string();
        let root = FileFormat::Toml.parse(Some(&origin), &text).map_err(|cause| {
            SettingsError::file(path, format!("is not valid TOML{}", position(&cause.to_string())), named_by)
        })?;
        let mut layer = Self::default();
        layer.add_table(&mut Vec::new(), root, &origin);
        Ok(layer)
    }

    fn add_table(&mut self, path: &mut Vec<String>, table: Map<String, Value>, origin: &str) {
        for (name, value) in table.into_iter().collect::<BTreeMap<_, _>>() {
            path.push(name);
            let key = path.join(".");
            let path_kind = schema::lookup(&path.iter().map(String::as_str).collect::<Vec<_>>());
            match (path_kind, value.kind) {
                (PathKind::Table, ValueKind::Table(inner)) => {
                    // An account without any key is still an account.
                    self.values.insert(key, Value::new(None, ValueKind::Table(Map::new())));
                    self.add_table(path, inner, origin);
                }
                (PathKind::Table, _) => self.refuse(key, "must be a table", origin),
                (PathKind::Key, ValueKind::Table(_)) => self.refuse(key, "must be a value, not a table", origin),
                (PathKind::Key, kind) => {
                    self.values.insert(key, Value::new(Some(&origin.to_owned()), kind));
                }
                (PathKind::Unknown(known), _) => self.refuse(key, unknown(&known), origin),
                (PathKind::BadName(problem), _) => self.refuse(key, problem.to_string(), origin),
            }
            path.pop();
        }
    }

    fn of_environment(env: &BTreeMap<OsString, OsString>) -> Self {
        let mut layer = Self::default();
        for (variable, value) in env {
            let variable = variable.to_string_lossy();
            let Some(rest) = strip_prefix(&variable, PREFIX) else {
                if is_mistyped(&variable) {
                    let problem = format!("is no setting: those begin with {PREFIX}, with two underscores");
                    layer.refuse(variable.to_string(), problem, &variable);
                }
                continue;
            };
            let path = rest.to_ascii_lowercase();
            let path: Vec<&str> = path.split("__").collect();
            let key = path.join(".");
            match (schema::lookup(&path), value.to_str()) {
                (PathKind::Unknown(known), _) => layer.refuse(key, unknown(&known), &variable),
                (PathKind::BadName(problem), _) => layer.refuse(key, problem.to_string(), &variable),
                (PathKind::Table, _) => layer.refuse(key, "is a section: add __ and the name of a key", &variable),
                (PathKind::Key, None) => layer.refuse(key, "is not UTF-8", &variable),
                (PathKind::Key, Some(_)) if layer.values.contains_key(&key) => {
                    layer.refuse(key, "is given twice, by variables that differ in case only", &variable);
                }
                (PathKind::Key, Some(text)) => {
                    layer.values.insert(key, Value::new(Some(&variable.into_owned()), text));
                }
            }
        }
        layer
    }

    fn refuse(&mut self, key: String, problem: impl Into<String>, origin: &str) {
        self.refused.push(SettingsError::new(key, problem, Some(origin)));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.iter().map(|(path, value)| (path.clone(), value.clone())).collect())
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("keys", &self.values.keys()).finish_non_exhaustive()
    }
}

/// Whether a variable is a setting but for the second underscore of its prefix. Docker and Kubernetes make others for services whose
/// names begin like ours.
fn is_mistyped(variable: &str) -> bool {
    let rest = strip_prefix(variable, &PREFIX[..PREFIX.len() - 1]).and_then(|rest| rest.split_once("__"));
    rest.is_some_and(|(section, _)| schema::is_section(&section.to_ascii_lowercase()))
}

/// The settings file that the environment names.
pub(super) fn file_named_by(env: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    env.get(&OsString::from(CONFIG_VARIABLE)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether a variable is a setting, or names the file that has them.
pub(super) fn is_ours(variable: &OsStr) -> bool {
    variable == CONFIG_VARIABLE || strip_prefix(&variable.to_string_lossy(), PREFIX).is_some()
}

fn strip_prefix<'v>(variable: &'v str, prefix: &str) -> Option<&'v str> {
    let (front, rest) = variable.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn unknown(known: &[&str]) -> String {
    match known {
        [] => "unknown key".to_owned(),
        known => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// `: see line 3, column 7` from the first line of the parser's message: the lines that follow quote the file.
fn position(message: &str) -> String {
    let number = |text: Option<&str>| text.and_then(|t| t.trim().parse::<usize>().ok());
    let place = message.lines().next().and_then(|first| first.strip_prefix("TOML parse error at line "));
    let mut parts = place.into_iter().flat_map(|place| place.split(", column "));
    match (number(parts.next()), number(parts.next())) {
        (Some(line), Some(column)) => format!(": see line {line}, column {column}"),
        _ => ": a number in it is out of range".to_owned(),
    }
}
