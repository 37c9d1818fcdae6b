//! Does the Debian package hold files that exist, where the unit and the pages look for them?

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::{path_of, text_of};

fn metadata() -> toml::Table {
    let manifest: toml::Table = text_of("../Cargo.toml").parse().unwrap();
    manifest["package"]["metadata"]["deb"].as_table().unwrap().clone()
}

/// Source and target of each asset.
fn assets() -> Vec<(String, String)> {
    let metadata = metadata();
    let assets = metadata["assets"].as_array().unwrap().iter();
    assets.map(|asset| (asset[0].as_str().unwrap().to_owned(), asset[1].as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_package_puts_binary_and_settings_where_the_unit_looks() {
    let assets = assets();
    for (source, _) in assets.iter().filter(|(source, _)| !source.starts_with("target/") && !source.contains('*')) {
        assert!(path_of("..").join(source).exists(), "{source}");
    }
    let unit = text_of("systemd/token-relay.service");
    for (source, directory) in
        [("target/release/token-relay", "usr/bin/"), ("deploy/debian/token-relay.toml", "etc/token-relay/")]
    {
        assert!(assets.contains(&(source.to_owned(), directory.to_owned())));
        let name = source.rsplit('/').next().unwrap();
        assert!(
            unit.contains(&format!("=/{directory}{name}\n")) || unit.contains(&format!("CONFIG=/{directory}{name}\n"))
        );
    }
    let metadata = metadata();
    let units = metadata["systemd-units"].as_table().unwrap();
    assert_eq!(units["unit-scripts"].as_str(), Some("deploy/systemd"));
    assert!(path_of("systemd/token-relay.sysusers").exists(), "cargo-deb takes it along");
    assert_eq!(units["start"].as_bool(), Some(false), "a new relay has no account");
}

/// An operator uncomments them, or writes what the page says.
#[test]
fn the_settings_of_the_package_are_those_of_the_page_commented_out_and_name_the_file_with_all_keys() {
    let shipped = text_of("debian/token-relay.toml");
    let (about, settings) = shipped.split_once("\n\n").unwrap();
    let (all_keys, target) = ("config/token-relay.toml".to_owned(), "usr/share/token-relay/".to_owned());
    assert!(assets().contains(&(all_keys, target)) && about.contains("/usr/share/token-relay/token-relay.toml"));
    for page in ["../docs/OPERATIONS.md", "../docs/OPERATIONS.zh-CN.md"] {
        assert!(text_of(page).contains(&format!("```toml\n{}```", settings.replace('#', ""))), "{page}");
    }
}

#[test]
fn the_scripts_of_package_and_release_are_sound() {
    for (script, shell) in [("debian/postinst", "sh"), ("debian/postrm", "sh"), ("release.sh", "bash")] {
        let path = path_of(script);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111, "{script} can be run");
        assert!(Command::new(shell).arg("-n").arg(&path).status().unwrap().success(), "{script}");
    }
    for script in ["debian/postinst", "debian/postrm"] {
        assert!(text_of(script).ends_with("\n#DEBHELPER#\n"), "{script}: cargo-deb puts its own part there");
    }
}

/// The release page, the page for operators and the manifests name the version that is built.
#[test]
fn every_file_that_a_page_names_has_the_version_of_the_crate() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, before) in [
        ("../docs/RELEASE.md", "token-relay_"),
        ("../docs/RELEASE.md", "token-relay-"),
        ("../docs/OPERATIONS.md", "token-relay_"),
        ("../docs/OPERATIONS.zh-CN.md", "token-relay_"),
        ("kubernetes/kustomization.yaml", "newTag: "),
    ] {
        let text = text_of(file);
        let named = text.split(before).skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let right = named.map(|rest| assert!(rest.starts_with(version), "{file}: {before}{}", &rest[..10])).count();
        assert!(right > 0, "{file}: {before}");
    }
}
