//! Every file of vectors, made in memory.
//!
//! Shared by the program that writes them and the test that compares them. Inputs are fixed here; what is expected of a
//! check is written down by hand, so that a wrong check cannot make a right vector.

mod accepting;
mod certificates;
mod chains;
mod claims;
mod content;
mod evidence;
mod fields;
pub mod frozen;
mod json;
mod layouts;
mod lists;
mod malformed;
mod messages;
mod offers;
mod operators;
mod paper;
mod sealing;
mod tickets;
mod values;
mod world;
mod zip215;

use std::path::{Path, PathBuf};

use json::{Json, list, object};

type Set = (&'static str, &'static str, fn() -> Vec<Json>);

const SETS: &[Set] = &[
    ("malformed", "Layouts and messages that must be refused, and the error of the decoder.", malformed::vectors),
    ("verdicts", "Claims and the broker's line on each.", claims::verdicts),
    (
        "statements",
        "Statements (layouts) held against a batch (layout): none, another, lines, counts.",
        claims::statements,
    ),
    (
        "accepting",
        "What a payee (Bob) holds, a payment, and the answer: paid_units or the problem. `check` is the row of page 12.",
        accepting::vectors,
    ),
    ("lists", "Key lists and revocation lists: believed or not, keys found or not.", lists::lists),
    ("registrations", "Registrations: none, or why they are refused.", lists::registrations),
    (
        "certificates",
        "The broker's word on Alice's key, believed or not; rotations whose new keys are good, or why not.",
        certificates::vectors,
    ),
    (
        "tickets",
        "Tickets as text: what they say, and texts that are none (prefix, damaged, version).",
        tickets::vectors,
    ),
    (
        "evidence",
        "Evidence of a double spend (CBOR) against a pinned broker: what it proves, or the row of page 27 that fails.",
        evidence::vectors,
    ),
    ("subjects", "Every subject: Alice asks, Bob supplies.", lists::subjects),
    ("zip215", "Signatures and keys at the edges: verify by ZIP-215, and may it be registered.", zip215::vectors),
    ("quotes", "What is due for which chunk, what a part costs, how many words a price is.", offers::quotes),
    ("grants", "Whether a grant covers a word on a chain of n.", offers::grants),
    ("content", "Files, their hash, and the slices of their chunks.", content::vectors),
    (
        "messages",
        "Every CBOR message. Signed things are told by layout and signature; what is null is left out.",
        messages::vectors,
    ),
    ("ids", "Ed25519 keys from their seeds, and the ids that are hashes of them.", chains::ids),
    ("steps", "One hash step, from W(i) to W(i-1). Words stand in their 32 bytes.", chains::steps),
    ("chains", "Chains from the broker's master key: seed by HKDF, then every word down to the root.", chains::chains),
    ("reaches", "Whether a word at a position leads to the root of a chain of 50.", chains::reaches),
    ("paper", "The paper's worked example. A chain of 50 md5 words worth a unit each.", paper::vectors),
    ("sealing", "Sealed paywords with fixed randomness, and what must not open.", sealing::vectors),
    (
        "layouts",
        "Signed layouts: field values, bytes, SHA-256 digest, Ed25519 signature, and how they travel.",
        layouts::vectors,
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-data")
}

/// Where the frozen page lies.
pub fn frozen_file() -> PathBuf {
    folder().join("frozen-v1.txt")
}

/// Every file with its text.
pub fn files() -> Vec<(PathBuf, String)> {
    let folder = folder().join("vectors");
    SETS.iter()
        .map(|(name, about, vectors)| {
            let file = object! { "about" => *about, "version" => 1_u8, "vectors" => list(vectors()) };
            (folder.join(format!("{name}.json")), file.pretty())
        })
        .collect()
}
