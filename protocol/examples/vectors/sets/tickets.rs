//! Tickets: their bytes, their text, and texts that are none. Written from the page, not by the peer agent's code.

use super::json::{Json, hex, object};
use super::world::*;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Base32 of RFC 4648, lower case, without padding: bit by bit, as the RFC tells it.
fn base32(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1)).collect();
    let letter = |five: &[u8]| {
        let number = (0..5).fold(0, |number, at| number * 2 + usize::from(five.get(at).copied().unwrap_or(0)));
        char::from(LETTERS[number])
    };
    bits.chunks(5).map(letter).collect()
}

fn checksum(bytes: &[u8]) -> [u8; 5] {
    let tagged = [b"p2p-netpay/v1/ticket\0".as_slice(), bytes].concat();
    std::array::from_fn(|at| blake3::hash(&tagged).as_bytes()[at])
}

fn text(bytes: &[u8]) -> String {
    format!("netpay:{}", base32(&[bytes, &checksum(bytes)].concat()))
}

/// Version, content, supplier, and which of the rest are there.
fn start(version: u8, there: u8) -> Vec<u8> {
    [&[version], content().0.as_slice(), &peer(BOB).0, &[there]].concat()
}

fn good(name: &str, why: &str, size: Option<u64>, price: Option<u64>, file: Option<&str>) -> Json {
    let mut bytes = start(1, u8::from(size.is_some()) + 2 * u8::from(price.is_some()) + 4 * u8::from(file.is_some()));
    bytes.extend(size.iter().chain(price.iter()).flat_map(|number| number.to_be_bytes()));
    if let Some(file) = file {
        bytes.push(u8::try_from(file.len()).expect("at most 255 bytes"));
        bytes.extend(file.as_bytes());
    }
    object! {
        "name" => name,
        "why" => why,
        "content" => content(),
        "supplier" => peer(BOB),
        "size_bytes" => size,
        "price_units" => price,
        "file_name" => file.map(str::to_owned),
        "bytes" => hex(&bytes),
        "checksum" => hex(&checksum(&bytes)),
        "text" => text(&bytes),
        "error" => "none",
    }
}

fn bad(name: &str, why: &str, text: String, error: &str) -> Json {
    object! { "name" => name, "why" => why, "text" => text, "error" => error }
}

pub fn vectors() -> Vec<Json> {
    let bare = text(&start(1, 0));
    let with = |there: u8, more: &[u8]| text(&[start(1, there).as_slice(), more].concat());
    // 63 bytes are 504 bits, and 101 letters have one more.
    let mut loose = with(2, &[0; 8]);
    let last = loose.pop().and_then(|letter| LETTERS.iter().position(|known| char::from(*known) == letter));
    loose.push(char::from(LETTERS[last.expect("a letter") + 1]));
    vec![
        good("bare", "content and supplier", None, None, None),
        good("full", "size, price and name", Some(300_000), Some(30), Some("söng.ogg")),
        good("name alone", "what is not there takes no bytes", None, None, Some("a")),
        good("free", "a price of 0 is a price", None, Some(0), None),
        bad("another prefix", "netpay: in small letters", bare.replace("netpay:", "NETPAY:"), "prefix"),
        bad(
            "capital letters",
            "there is one text for each ticket",
            format!("netpay:{}", bare[7..].to_uppercase()),
            "damaged",
        ),
        bad("cut", "the last letter is missing", bare[..bare.len() - 1].to_owned(), "damaged"),
        bad("padded", "base32 without padding", format!("{bare}=="), "damaged"),
        bad("loose bits", "the bit after the last byte is zero", loose, "damaged"),
        bad("version 2", "told apart from damage: the checksum is right", text(&start(2, 0)), "version"),
        bad("flag 8", "no such field", with(8, &[]), "damaged"),
        bad("a byte more", "nothing follows the last field", with(0, &[0]), "damaged"),
        bad("no name", "a name has 1 to 255 bytes", with(4, &[0]), "damaged"),
        bad("a path", "a name is a file name", with(4, &[&[3], b"a/b".as_slice()].concat()), "damaged"),
        bad("a control character", "a name has none", with(4, &[1, b'\n']), "damaged"),
        bad("nothing", "a checksum of no bytes", text(&[]), "damaged"),
    ]
}
