//! The write-ahead log torn at every byte of its last records, as a power cut may leave it.

use std::collections::BTreeSet;

use netpay_tests::campaign::Campaign;

use crate::flips::both_cores;
use crate::judge::{Found, Opened, judge};
use crate::specimen::Specimen;

/// How many of the last records are torn.
const RECORDS: u64 = 3;

/// The ledger after its log was cut to this length, and filled up again with zeros (as a file system may) or not. Answers
/// the position; none if it is refused.
fn torn(specimen: &Specimen, log: &str, bytes: &[u8], (length, zeros): (usize, bool)) -> Option<u64> {
    let mut left = bytes[..length].to_vec();
    if zeros {
        left.resize(bytes.len(), 0);
    }
    let opened = if length % 2 == 0 { Opened::ToServe } else { Opened::ToRead };
    match judge(specimen, specimen.with(log, &left).path(), opened) {
        Found::Same => Some(specimen.seen.position),
        Found::Earlier(position) => Some(position),
        // The head of a record whose rest is zeros: RocksDB cannot tell it from one that was damaged.
        Found::RefusedOpening(_) if zeros => None,
        found => panic!("{log} cut to {length} of {} bytes (zeros: {zeros}): {found:?}", bytes.len()),
    }
}

/// Positions only fall as more is cut off, and no cut keeps a broker from starting.
#[test]
fn a_torn_tail_is_taken_back_to_the_last_whole_record() {
    let specimen = Specimen::make();
    let last = specimen.seen.position;
    let log = specimen.log();
    let bytes = specimen.read(&log);
    let campaign = Campaign::fixed("damage", "torn tails", 1, 1);
    // Where the records before the last few end: found by halves, for positions only fall.
    let (mut whole, mut short) = (bytes.len(), 0);
    while whole - short > 1 {
        let middle = short + (whole - short) / 2;
        let position = torn(&specimen, &log, &bytes, (middle, false)).expect("a cut is never refused");
        if position >= last - RECORDS { whole = middle } else { short = middle }
    }
    let cuts: Vec<_> = (short..=bytes.len()).map(|length| (length, false)).collect();
    let found = both_cores(&cuts, |cut| torn(&specimen, &log, &bytes, *cut));
    assert!(found.is_sorted(), "more of the log, fewer records");
    let positions: BTreeSet<_> = found.iter().flatten().copied().collect();
    assert_eq!(positions, (last - RECORDS - 1..=last).collect());
    campaign.tally.add("cuts", u64::try_from(found.len()).expect("few"));

    // Filled up with zeros behind a whole record it opens; in the middle of one it may be refused, and is nothing else.
    let whole: Vec<_> = (1..cuts.len()).filter(|i| found[*i] > found[i - 1]).collect();
    let places: Vec<_> = whole.iter().copied().chain((0..cuts.len()).step_by(13)).collect();
    let filled = both_cores(&places, |i| torn(&specimen, &log, &bytes, (cuts[*i].0, true)));
    for (i, filled) in places.iter().zip(&filled) {
        assert!(*filled == found[*i] || (filled.is_none() && !whole.contains(i)), "{:?}: {filled:?}", cuts[*i]);
        campaign.tally.count(if filled.is_none() { "filled with zeros and refused" } else { "filled with zeros" });
    }
    campaign.end(&["cuts", "filled with zeros"]);
}
