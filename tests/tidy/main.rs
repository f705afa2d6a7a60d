//! Rules of the tree that no compiler holds (the code map in README.md): who may know what, and what a file looks like.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Every Rust file of the workspace, by its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> =
        ["protocol", "broker", "peer-agent", "tests"].iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("readable").path();
            // `protocol/fuzz` is a workspace of its own, with a target folder of its own.
            if path.ends_with("target") {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    found
}

/// Whether a file's code (not its comments) names a crate.
fn names(text: &str, krate: &str) -> bool {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(krate).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let alone = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '-');
            let after = &line[at + krate.len()..];
            alone
                && (after.starts_with("::")
                    || after.starts_with(" as ")
                    || (after.starts_with(';') && line.starts_with("use ")))
        })
    })
}

#[test]
fn each_outside_crate_is_known_only_where_the_map_says() {
    let allowed: &[(&str, &[&str])] = &[
        ("actix", &["broker/src/actors/runtime.rs"]),
        ("actix_web", &["broker/src/telemetry/http.rs"]),
        ("rocksdb", &["broker/src/store/", "broker/src/journal/"]),
        ("openraft", &["broker/src/journal/raft/"]),
        ("async_nats", &["broker/src/bus/", "peer-agent/src/net/", "tests/"]),
        ("prometheus", &["broker/src/telemetry/metrics.rs"]),
        ("rusqlite", &["broker/src/audit/", "broker/src/index/", "peer-agent/src/store/"]),
        ("rsa", &["protocol/src/sealing.rs"]),
        ("ed25519_dalek", &["protocol/src/keys.rs"]),
        ("ed25519_zebra", &["protocol/src/keys.rs"]),
        ("bao_tree", &["peer-agent/src/content/"]),
        (
            "clap",
            &[
                "broker/src/cli/",
                "broker/src/main.rs",
                "peer-agent/src/cli/",
                "peer-agent/src/main.rs",
                "tests/src/bin/",
            ],
        ),
    ];
    let sources = sources();
    let mut known = BTreeSet::new();
    for (krate, places) in allowed {
        for (file, text) in &sources {
            if names(text, krate) {
                known.insert(*krate);
                assert!(places.iter().any(|place| file.starts_with(place)), "{file} must not know {krate}");
            }
        }
    }
    assert_eq!(known.len(), allowed.len(), "a crate that nobody names any more: {known:?}");
}

#[test]
fn protocol_and_ledger_stay_pure() {
    let sources = sources();
    for (file, text) in
        sources.iter().filter(|(file, _)| file.starts_with("protocol/src/") || file.starts_with("broker/ledger/src/"))
    {
        for impure in
            ["std::fs", "std::net", "std::time", "std::env", "std::thread", "HashMap", "tokio", "getrandom", "async fn"]
        {
            assert!(!text.contains(impure), "{file} must not use {impure}");
        }
    }
}

#[test]
fn broker_adapters_do_not_import_one_another_and_actors_import_no_adapter() {
    let adapters = ["store", "journal", "bus", "index", "telemetry"];
    // The local journal is the synced write of the store it is given: one adapter in two files.
    let allowed = [("journal", "store"), ("bus", "actors")];
    for (file, text) in sources().iter().filter(|(file, _)| file.starts_with("broker/src/")) {
        let place = file.trim_start_matches("broker/src/").split('/').next().expect("a first part");
        let restricted = adapters.contains(&place) || ["actors", "ports"].contains(&place);
        for other in adapters.iter().filter(|other| restricted && **other != place) {
            let imports = text.contains(&format!("crate::{other}::")) || text.contains(&format!("use crate::{other};"));
            assert!(!imports || allowed.contains(&(place, *other)), "{file} must not import crate::{other}");
        }
    }
}

#[test]
fn subjects_are_spelled_in_one_file() {
    // What nodes of one broker say to one another is no part of the protocol.
    let places = ["protocol/src/subjects.rs", "broker/src/bus/link/mod.rs"];
    for (file, text) in sources().iter().filter(|(file, _)| file.contains("/src/") && !places.contains(&file.as_str()))
    {
        let code = text.lines().filter(|line| !line.trim().starts_with("//"));
        assert!(!code.clone().any(|line| line.contains("\"netpay.v1.")), "{file} spells a subject");
    }
}

#[test]
fn every_file_says_what_it_is_and_has_one_reason_to_change() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not open with what it is");
        let lines = text.lines().count();
        let most = if file.contains("test") { 700 } else { 420 };
        assert!(lines <= most, "{file} has {lines} lines: two reasons to change?");
        assert!(!text.contains(&["#[", "ignore"].concat()), "{file} skips a test");
    }
}

#[test]
fn readme_maps_every_folder_of_the_broker_and_the_agent() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    for crate_dir in ["broker/src", "peer-agent/src"] {
        for entry in fs::read_dir(root().join(crate_dir)).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                let name = format!("{}/", path.file_name().expect("a name").to_string_lossy());
                assert!(readme.contains(&name), "README.md's code map lacks {crate_dir}/{name}");
            }
        }
    }
}
