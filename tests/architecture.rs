//! Do imports run one way? No circle among modules, none upwards, and a machine that knows neither I/O nor its readers.
//!
//! Every path counts, in `use`, in code and in macros, but for those of tests within the sources. Two modules are compared
//! as children of the module that has both: `http::admin` and `http::page`, or `settings` and `store`. A module and its
//! ancestors may use each other: `foo.rs` has the types that `foo/` is written in.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proc_macro2::{TokenStream, TokenTree};

/// The relay's top modules: each may import those behind it.
const DOWNWARDS: &str = "commands cli serve telemetry settings http keepers keeper registry metrics heartbeat recent status lifecycle \
    group store presence report issuer language timing credential account tls clock relay_key secret_url \
    page_url printable last_look systemd logs";

/// What decides without I/O, and what it must not know: what does I/O, and what reads. The status that it makes is plain data.
const MACHINE: &str = "keeper::machine keeper::record keeper::schedule";
const FOREIGN_TO_MACHINE: &str = "tokio reqwest redis axum hyper store::file store::redis store::memory \
    http keepers registry metrics heartbeat";

type Names = Vec<String>;

/// The modules of a crate, and which of them names which paths. Paths into other crates begin with the crate.
struct Imports(BTreeSet<Names>, BTreeSet<(Names, Names)>);

impl Imports {
    fn of(sources: &str) -> Self {
        let mut files = BTreeMap::new();
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(sources), &[], &mut files);
        let modules: BTreeSet<_> = files.keys().cloned().collect();
        let mut named = BTreeSet::new();
        for (module, tokens) in files {
            let mut paths = Vec::new();
            collect(tokens, &mut paths);
            named.extend(paths.into_iter().map(|path| (module.clone(), absolute(&modules, &module, path))));
        }
        // In a child `super::Name` may be what the parent itself imports.
        let imported: BTreeMap<_, _> = (named.iter().cloned())
            .map(|(module, path)| ([module, vec![path[path.len() - 1].clone()]].concat(), path))
            .filter(|(alias, _)| !modules.contains(alias))
            .collect();
        let origin = |path: Names| imported.get(&path).cloned().unwrap_or(path);
        Self(modules, named.into_iter().map(|(module, path)| (module, origin(path))).collect())
    }

    /// For each module with children, which of them uses which other.
    fn between_siblings(&self) -> BTreeMap<Names, BTreeSet<(String, String)>> {
        let mut edges: BTreeMap<Names, BTreeSet<_>> = BTreeMap::new();
        for (from, path) in &self.1 {
            let end = (0..=path.len()).rev().find(|end| self.0.contains(&path[..*end])).unwrap_or_default();
            let common = from.iter().zip(&path[..end]).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (from.get(common), path[..end].get(common)) {
                edges.entry(from[..common].to_vec()).or_default().insert((one.clone(), other.clone()));
            }
        }
        edges
    }
}

/// The files below `dir` by their modules, without tests. `lib.rs` is the root; nothing can be imported from `main.rs`.
fn read(dir: &Path, module: &[String], files: &mut BTreeMap<Names, TokenStream>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let own = if name == "lib" { Names::new() } else { [module, std::slice::from_ref(&name)].concat() };
        if path.is_dir() && name != "tests" {
            read(&path, &own, files);
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests" && name != "main" {
            files.insert(own, fs::read_to_string(&path).unwrap().parse().unwrap());
        }
    }
}

/// All paths of two names or more, a `use` with braces taken apart.
fn collect(tokens: TokenStream, paths: &mut Vec<Names>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut rest = &tokens[..];
    while !rest.is_empty() {
        rest = match rest {
            [TokenTree::Ident(word), name, _, rest @ ..] if word == "mod" && name.to_string() == "tests" => rest,
            [TokenTree::Ident(_), ..] => follow(rest, Names::new(), paths),
            [TokenTree::Group(group), rest @ ..] => {
                collect(group.stream(), paths);
                rest
            }
            rest => &rest[1..],
        };
    }
}

/// Takes the path at the front of `tokens`, which continues `path`, and returns what is behind it.
fn follow<'t>(mut tokens: &'t [TokenTree], mut path: Names, paths: &mut Vec<Names>) -> &'t [TokenTree] {
    while let [TokenTree::Ident(name), rest @ ..] = tokens {
        path.push(name.to_string());
        tokens = rest;
        match rest {
            [TokenTree::Punct(one), TokenTree::Punct(two), rest @ ..]
                if one.as_char() == ':' && two.as_char() == ':' =>
            {
                tokens = rest;
            }
            _ => break,
        }
        if let [TokenTree::Group(group), rest @ ..] = tokens {
            let inner: Vec<_> = group.stream().into_iter().collect();
            for part in inner.split(|token| token.to_string() == ",") {
                follow(part, path.clone(), paths);
            }
            return rest;
        }
    }
    paths.extend((path.len() > 1).then_some(path));
    tokens
}

/// The path from the crate's root, where `module` names it.
fn absolute(modules: &BTreeSet<Names>, module: &[String], path: Names) -> Names {
    let up = path.iter().take_while(|name| *name == "super").count();
    match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        "self" => [module, &path[1..]].concat(),
        "super" => [&module[..module.len() - up], &path[up..]].concat(),
        child if modules.contains(&[module, &[child.to_owned()]].concat()) => [module, &path].concat(),
        _ => path,
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for sources in ["src", "wechat-sim/src"] {
        for (parent, mut edges) in Imports::of(sources).between_siblings() {
            // Modules that use no other, or that no other uses, are in no circle; and then those that used only them.
            for _ in 0..edges.len() {
                let (users, used): (BTreeSet<_>, BTreeSet<_>) = edges.iter().cloned().unzip();
                edges.retain(|(one, other)| used.contains(one) && users.contains(other));
            }
            assert!(edges.is_empty(), "{sources}, in `{}`: {edges:?}", parent.join("::"));
        }
    }
}

#[test]
fn no_module_imports_one_above_it() {
    let place = |name: &str| {
        let place = DOWNWARDS.split(' ').position(|module| module == name);
        place.unwrap_or_else(|| panic!("give `{name}` its place in DOWNWARDS"))
    };
    for (one, other) in &Imports::of("src").between_siblings()[&Names::new()] {
        assert!(place(one) < place(other), "`{one}` imports `{other}`, which is above it");
    }
}

#[test]
fn the_machine_knows_neither_what_does_its_io_nor_its_readers() {
    let place = |list: &'static str, path: &Names| {
        let path = path.join("::") + "::";
        list.split(' ').find(|name| path.starts_with(&format!("{name}::")))
    };
    let breach = |(module, path): &(Names, Names)| Some((place(MACHINE, module)?, place(FOREIGN_TO_MACHINE, path)?));
    let breaches: BTreeSet<_> = Imports::of("src").1.iter().filter_map(breach).collect();
    assert_eq!(breaches, BTreeSet::new());
}

#[test]
fn every_way_to_name_a_path_is_seen() {
    let modules = ["a", "a::b", "c"].map(|module| module.split("::").map(str::to_owned).collect());
    let source = "use crate::{c::{D, E as F}, x}; use super::c::G; pub use b::H; mod tests { use crate::no::No; } \
        fn f() -> self::b::I { go!(crate::c::j::<K>(), tokio::spawn) }";
    let mut paths = Vec::new();
    collect(source.parse().unwrap(), &mut paths);
    let paths = paths.into_iter().map(|path| absolute(&modules.clone().into(), &["a".to_owned()], path).join("::"));
    let seen = ["c::D", "c::E", "x", "c::G", "a::b::H", "a::b::I", "c::j", "tokio::spawn"];
    assert_eq!(paths.collect::<Vec<_>>(), seen);
}
