//! Every decoder under every kind of bad bytes. `fuzz/` runs the same properties for longer, led by coverage.
//!
//! With NETPAY_FUZZ=1 ten times the cases, with NETPAY_LONG=1 a hundred times.

mod heavy;
mod mutations;
mod properties;
#[path = "../samples/mod.rs"]
mod samples;
mod table;
mod values;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mutations::{Change, spoil};
use properties::{Decoder, check, check_one_kind};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Cases for each decoder.
const CASES: u32 = 100;

fn cases() -> u32 {
    let set = |name| std::env::var_os(name).is_some_and(|value| value == "1");
    CASES
        * if set("NETPAY_LONG") {
            100
        } else if set("NETPAY_FUZZ") {
            10
        } else {
            1
        }
}

/// Runs a property on each decoder; what fails is shrunk.
fn for_each_decoder<S: Strategy>(strategy: impl Fn() -> S, property: impl Fn(&Decoder, S::Value))
where
    S::Value: Clone,
{
    for decoder in table::all() {
        let config = Config { cases: (cases() / decoder.cost).max(4), failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&strategy(), |value| {
            property(&decoder, value);
            Ok::<_, TestCaseError>(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", decoder.name);
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (any::<u8>(), any::<usize>(), any::<usize>()).prop_map(|(how, at, with)| Change { how, at, with });
    prop::collection::vec(change, 1..4)
}

#[test]
fn every_decoder_reads_its_own_samples() {
    for decoder in table::all() {
        assert!(!decoder.samples.is_empty(), "{}", decoder.name);
        for sample in &decoder.samples {
            assert!(check(&decoder, sample), "{}", decoder.name);
        }
    }
}

#[test]
fn arbitrary_bytes_are_refused_or_canonical_within_memory() {
    for_each_decoder(
        || prop::collection::vec(any::<u8>(), 0..400),
        |decoder, bytes| {
            check(decoder, &bytes);
        },
    );
}

#[test]
fn a_spoilt_message_is_refused_or_canonical_within_memory() {
    let all = table::all();
    let layouts = table::layouts();
    for_each_decoder(
        || (any::<Index>(), any::<(Index, Index)>(), changes()),
        |decoder, (sample, (kind, other), changes): (Index, (Index, Index), Vec<Change>)| {
            let other = other.get::<Vec<u8>>(&kind.get(&all).samples);
            let bytes = spoil(sample.get::<Vec<u8>>(&decoder.samples), other, &changes);
            check(decoder, &bytes);
            if decoder.signed_layout {
                check_one_kind(&layouts, &bytes);
            }
        },
    );
}

#[test]
fn every_truncation_of_a_message_is_refused() {
    for decoder in table::all().iter().filter(|decoder| decoder.cost == 1) {
        for sample in &decoder.samples {
            for end in 0..sample.len() {
                // Subjects end in tokens that nobody counts.
                let cut = check(decoder, &sample[..end]);
                assert!(!cut || decoder.name == "subject of a request", "{} cut at {end}", decoder.name);
            }
        }
    }
}

#[test]
fn no_bytes_are_two_kinds_of_signed_layout() {
    let layouts = table::layouts();
    let mut tags = BTreeSet::new();
    for sample in layouts.iter().flat_map(|decoder| &decoder.samples) {
        check_one_kind(&layouts, sample);
        let end = sample.iter().position(|byte| *byte == 0).expect("a tag ends with a zero");
        tags.insert(&sample[..=end]);
    }
    assert_eq!(tags.len(), layouts.len(), "one tag for each kind");
    // The fields of one kind under the tag of another are at most that other.
    for sample in layouts.iter().flat_map(|decoder| &decoder.samples) {
        let end = sample.iter().position(|byte| *byte == 0).expect("a tag ends with a zero");
        for tag in &tags {
            check_one_kind(&layouts, &[tag, &sample[end + 1..]].concat());
        }
    }
}

/// A megabyte of openings of CBOR containers, alone and as the value of a key that no message has.
fn nested(size: usize) -> Vec<Vec<u8>> {
    let openings: [&[u8]; 9] = [
        &[0x81],
        &[0xa1, 0x00],
        &[0x9f],
        &[0xbf, 0x00],
        &[0x82, 0x9f],
        &[0x9f, 0x82],
        &[0xc1],
        &[0x5f],
        &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    let befores: [&[u8]; 4] = [&[], &[0xa1, 0x18, 0x63], &[0xa2, 0x18, 0x63], &[0xa1, 0x18, 0x63, 0x82, 0xf9, 0, 0]];
    let filled = |before: &[u8], opening: &[u8]| {
        let nest = opening.iter().copied().cycle().take(size - before.len());
        before.iter().copied().chain(nest).collect()
    };
    befores.iter().flat_map(|before| openings.iter().map(move |opening| filled(before, opening))).collect()
}

#[test]
fn deep_nesting_overflows_no_stack_and_takes_no_memory_or_time() {
    let size = if cases() > CASES { 1_000_000 } else { 20_000 };
    let all = move || {
        for bytes in nested(size) {
            for decoder in table::all().iter().filter(|decoder| decoder.cost == 1) {
                let started = Instant::now();
                assert!(!check(decoder, &bytes), "{} read nothing but openings", decoder.name);
                assert!(started.elapsed() < Duration::from_secs(2), "{}: {:?}", decoder.name, started.elapsed());
            }
        }
    };
    // An eighth of what threads have elsewhere.
    let small = std::thread::Builder::new().stack_size(256 * 1_024).spawn(all).expect("a thread");
    small.join().expect("no decoder failed");
}

#[test]
fn the_longest_lists_are_read_within_memory_and_time() {
    for (decoder, bytes) in heavy::all() {
        let started = Instant::now();
        assert!(check(&decoder, &bytes), "{} of {} bytes", decoder.name, bytes.len());
        let took = started.elapsed();
        println!("{}: {} bytes in {took:?}", decoder.name, bytes.len());
        assert!(took < Duration::from_secs(2), "{}: {took:?}", decoder.name);
    }
}

#[test]
fn an_error_quotes_a_short_piece_of_the_text_it_refuses() {
    let controls = vec![0x1d; 4_000];
    for decoder in table::all().iter().filter(|decoder| decoder.cost == 1) {
        assert!(!check(decoder, &controls), "{}", decoder.name);
    }
}

/// The sources, and in them each type with a decoder: a `Layout`, or one that derives CBOR's `Decode`.
fn types_with_a_decoder() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(sources).expect("the sources") {
        let text = std::fs::read_to_string(entry.expect("readable").path()).expect("text");
        let mut decodes = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("impl Layout for ") {
                found.insert(name.trim_end_matches([' ', '{', '}']).into());
            }
            if line.trim_start().starts_with("#[derive(") {
                decodes = line.contains("minicbor::Decode");
            }
            let item = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "));
            if let Some(item) = item.filter(|_| std::mem::take(&mut decodes)) {
                found.insert(item.split(|c: char| !c.is_alphanumeric()).next().expect("a name").into());
            }
        }
    }
    found
}

#[test]
fn the_table_lists_every_layout_and_message_of_the_sources() {
    let listed: BTreeSet<_> = table::all().iter().map(|decoder| decoder.name).collect();
    assert_eq!(listed.len(), table::all().len(), "a name is there twice");
    let found = types_with_a_decoder();
    assert!(found.len() >= 50 && found.contains("Touchstone") && found.contains("Hits"), "{found:?}");
    for name in found {
        // A page is listed once for each thing that it is a page of.
        let there = listed.contains(name.as_str()) || listed.iter().any(|each| each.starts_with(&format!("{name}<")));
        assert!(there, "{name} has a decoder that tests/decoders/table.rs does not list");
    }
}
