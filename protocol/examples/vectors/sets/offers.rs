//! What quotes make due, what parts cost, how many words that is; and which words a grant covers.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::quote::{Quote, price_of_part};

use super::json::{Json, list, object};
use super::values::quote;
use super::world::*;

/// First chunk, how many, price, and what is due for each, computed by hand.
const DUE: &[(&str, u64, u64, u64, &[u64])] = &[
    ("whole", 0, 3, 25, &[9, 17, 25]),
    ("whole cheap", 0, 3, 2, &[1, 2, 2]),
    ("part", 1, 2, 17, &[9, 17]),
    ("one chunk", 2, 1, 9, &[9]),
    ("free", 0, 3, 0, &[0, 0, 0]),
    ("dearest", 0, 3, u64::MAX, &[6_148_914_691_236_517_205, 12_297_829_382_473_034_410, u64::MAX]),
];

pub fn quotes() -> Vec<Json> {
    let due = DUE.iter().map(|(name, first, count, price, due)| {
        let quote = Quote { first_chunk: *first, chunk_count: *count, price_units: Units(*price), ..quote() };
        for (nth, due) in (0_u64..).zip(*due) {
            assert_eq!(quote.due_for_chunk(first + nth).0, *due, "{name}");
        }
        object! {
            "name" => *name,
            "why" => "units due in all before each chunk offered",
            "check" => "due",
            "first_chunk" => *first,
            "chunk_count" => *count,
            "price_units" => *price,
            "due_units" => list(due.iter().copied()),
        }
    });
    let parts =
        [(25_u64, 2_u64, 3_u64, 17_u64), (25, 1, 3, 9), (25, 3, 3, 25), (0, 1, 3, 0), (10, 0, 0, 0), (1, 1, 1_000, 1)];
    let parts = parts.into_iter().map(|(price, count, chunks, part)| {
        assert_eq!(price_of_part(Units(price), count, chunks), Units(part));
        object! {
            "name" => format!("{count} of {chunks}"), "why" => "ceil(price x count / chunks)", "check" => "part",
            "price_units" => price, "chunk_count" => count, "chunks" => chunks, "part_units" => part,
        }
    });
    let words = [
        (0_u64, 5_u32, Some(0_u32)),
        (1, 5, Some(1)),
        (5, 5, Some(1)),
        (6, 5, Some(2)),
        (1, 0, None),
        (u64::MAX, 1, None),
    ];
    let words = words.into_iter().map(|(price, unit, due)| {
        assert_eq!(UnitValue(unit).words_due(Units(price)).map(|words| words.0), due);
        object! {
            "name" => format!("{price} in words of {unit}"), "why" => "ceil(price / unit value); null: no number of words",
            "check" => "words", "price_units" => price, "unit_value" => unit, "words" => due,
        }
    });
    due.chain(parts).chain(words).collect()
}

/// From, to, through, n, covered.
const GRANTS: &[(u32, u32, u32, u32, bool, &str)] = &[
    (1, 6, 5, 50, true, "the last word granted"),
    (1, 6, 1, 50, true, "the first word granted"),
    (1, 6, 6, 50, false, "one past the last word granted"),
    (4, 6, 3, 50, false, "one before the first word granted"),
    (0, 6, 5, 50, false, "the root is no word"),
    (1, 51, 50, 50, true, "the whole chain"),
    (1, 52, 50, 50, false, "a grant past the chain's end, whatever is claimed of it"),
    (50, 51, 50, 50, true, "the last word alone"),
    (5, 5, 5, 50, false, "an empty grant"),
    (6, 5, 5, 50, false, "a grant that ends before it begins"),
    (u32::MAX, u32::MAX, u32::MAX, 50, false, "the greatest numbers"),
    (1, u32::MAX, 1, 4_096, false, "an end far past the chain"),
];

pub fn grants() -> Vec<Json> {
    GRANTS
        .iter()
        .map(|(from, to, through, n, covered, why)| {
            let index = index(*from, *to, peer(BOB));
            assert_eq!(index.covers(PaywordIndex(*through), PaywordIndex(*n)), *covered, "{why}");
            object! {
                "name" => format!("{from}..{to} through {through} of {n}"), "why" => *why, "from" => *from, "to" => *to,
                "through" => *through, "n" => *n, "covered" => *covered,
            }
        })
        .collect()
}
