//! Tickets: one content at one supplier, as a text to hand on. `netpay get TICKET` needs no index.
//!
//! A ticket is a hint and nobody's word: it is not signed, and what it says of name, size and price is only compared
//! with what the supplier signs. It makes nothing be believed; its price is the most that is paid where neither the
//! person nor a listing says another.
//!
//! The text is `netpay:` and then, in lower case and without padding, the base32 (RFC 4648) of these bytes, integers
//! big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 32 | content id (BLAKE3 of the content) |
//! | 16 | the supplier's PeerId |
//! | 1 | which of the following are there: bit 0 the size, bit 1 the price, bit 2 the name; other bits are zero |
//! | 8 | size of the content in bytes |
//! | 8 | price of the whole in units |
//! | 1 + n | length of the name in bytes (1 to 255), and the name in UTF-8: a file name without path or control characters |
//! | 5 | checksum: the first bytes of BLAKE3("p2p-netpay/v1/ticket" ‖ 0 ‖ all bytes before) |
//!
//! There is one text for each ticket: other versions, letters in upper case, unused bits that are not zero and bytes
//! after the end are refused.

use std::fmt;
use std::str::FromStr;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::listing::is_file_name;

/// What every ticket begins with.
pub const PREFIX: &str = "netpay:";
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"p2p-netpay/v1/ticket\0";
const CHECKSUM: usize = 5;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The longest one: everything there, and a name of 255 bytes.
const MAX_BYTES: usize = 1 + 32 + 16 + 1 + 8 + 8 + 1 + 255 + CHECKSUM;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// What is on offer.
    pub content: ContentId,
    /// By whom.
    pub supplier: PeerId,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// The price of the whole.
    pub price: Option<Units>,
    /// What it is called.
    pub name: Option<String>,
}

/// A text that is no ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotATicket {
    /// It does not begin like one.
    #[error("a ticket begins with {PREFIX}")]
    Prefix,
    /// It was cut off or altered.
    #[error("the ticket is damaged: copy it again, the whole of it")]
    Damaged,
    /// It is of a later version.
    #[error("the ticket has version {0}, and this program knows version {VERSION}")]
    Version(u8),
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.content.0);
        bytes.extend(self.supplier.0);
        // A name that does not fit is left out: it is a hint.
        let name = self.name.as_deref().filter(|name| is_file_name(name));
        let name = name.and_then(|name| Some((u8::try_from(name.len()).ok()?, name)));
        let there = [self.size_bytes.is_some(), self.price.is_some(), name.is_some()];
        bytes.push(there.iter().zip([1, 2, 4]).filter(|(there, _)| **there).map(|(_, bit)| bit).sum());
        bytes.extend(self.size_bytes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(self.price.iter().flat_map(|price| price.0.to_be_bytes()));
        if let Some((length, name)) = name {
            bytes.push(length);
            bytes.extend(name.as_bytes());
        }
        bytes.extend(checksum(&bytes));
        write!(f, "{PREFIX}{}", to_base32(&bytes))
    }
}

impl FromStr for Ticket {
    type Err = NotATicket;

    fn from_str(text: &str) -> Result<Self, NotATicket> {
        let body = text.strip_prefix(PREFIX).ok_or(NotATicket::Prefix)?;
        let bytes = from_base32(body).ok_or(NotATicket::Damaged)?;
        let (said, check) = bytes.split_last_chunk::<CHECKSUM>().ok_or(NotATicket::Damaged)?;
        if checksum(said) != *check {
            return Err(NotATicket::Damaged);
        }
        match said.split_first() {
            Some((&VERSION, rest)) => read(rest).ok_or(NotATicket::Damaged),
            Some((version, _)) => Err(NotATicket::Version(*version)),
            None => Err(NotATicket::Damaged),
        }
    }
}

/// What follows the version.
fn read(mut bytes: &[u8]) -> Option<Ticket> {
    let content = ContentId(take(&mut bytes)?);
    let supplier = PeerId(take(&mut bytes)?);
    let [there] = take(&mut bytes)?;
    if there > 7 {
        return None;
    }
    let mut number = |bit: u8| match there & bit {
        0 => Some(None),
        _ => Some(Some(u64::from_be_bytes(take(&mut bytes)?))),
    };
    let (size_bytes, price) = (number(1)?, number(2)?.map(Units));
    let mut name = None;
    if there & 4 != 0 {
        let [length] = take(&mut bytes)?;
        let (text, rest) = bytes.split_at_checked(usize::from(length))?;
        name = Some(std::str::from_utf8(text).ok().filter(|name| is_file_name(name))?.to_owned());
        bytes = rest;
    }
    bytes.is_empty().then_some(Ticket { content, supplier, size_bytes, price, name })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN).update(bytes);
    let mut sum = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

fn to_base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    for five in bytes.chunks(5) {
        let mut padded = [0; 8];
        padded[3..3 + five.len()].copy_from_slice(five);
        let bits = u64::from_be_bytes(padded);
        for nth in 0..(five.len() * 8).div_ceil(5) {
            let letter = usize::try_from((bits >> (35 - 5 * nth)) & 31).unwrap_or(0);
            text.push(char::from(ALPHABET[letter]));
        }
    }
    text
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    if text.len() > (MAX_BYTES * 8).div_ceil(5) {
        return None;
    }
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = u32::try_from(ALPHABET.iter().position(|known| *known == letter)?).ok()?;
        held = (held << 5) | value;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    // What is left over is less than a letter, and nothing.
    (bits < 5 && held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets() -> Vec<Ticket> {
        let bare = Ticket {
            content: ContentId([0xab; 32]),
            supplier: PeerId([0x17; 16]),
            size_bytes: None,
            price: None,
            name: None,
        };
        let full = Ticket {
            size_bytes: Some(3_000_000),
            price: Some(Units(300)),
            name: Some("Ünï code.ogg".into()),
            ..bare.clone()
        };
        let long = Ticket { name: Some("x".repeat(255)), ..full.clone() };
        let free = Ticket { price: Some(Units(0)), ..bare.clone() };
        let short = Ticket { name: Some("a".into()), ..bare.clone() };
        vec![bare, full, long, free, short]
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        for ticket in tickets() {
            let text = ticket.to_string();
            assert_eq!(text.parse(), Ok(ticket));
            assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ':'), "{text}");
        }
    }

    #[test]
    fn the_text_of_a_ticket_is_known() {
        let bare = &tickets()[0];
        let text = bare.to_string();
        assert!(text.starts_with("netpay:agv2xk5lvov2xk5lvov2xk5l"), "{text}");
        assert_eq!(text.len(), PREFIX.len() + 88);
    }

    #[test]
    fn no_ticket_can_be_cut_off_or_go_on() {
        for ticket in tickets() {
            let text = ticket.to_string();
            for end in 0..text.len() {
                assert!(text[..end].parse::<Ticket>().is_err(), "{end} of {text}");
            }
            for more in ["a", "aa", "aaaaaaaa", "=", " ", "\n"] {
                assert!(format!("{text}{more}").parse::<Ticket>().is_err(), "{more:?}");
            }
        }
    }

    #[test]
    fn no_character_of_a_ticket_can_be_altered() {
        for ticket in tickets() {
            let text = ticket.to_string();
            for at in 0..text.len() {
                for letter in "abcdefghijklmnopqrstuvwxyz234567ABZ018=-é".chars() {
                    let altered = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                    assert!(altered == text || altered.parse::<Ticket>().is_err(), "{letter} at {at} of {text}");
                }
            }
        }
    }

    #[test]
    fn what_no_version_1_writes_is_refused_although_its_checksum_is_right() {
        let with =
            |said: &[u8]| format!("{PREFIX}{}", to_base32(&[said, &checksum(said)[..]].concat())).parse::<Ticket>();
        let start = |version: u8| [&[version][..], &[7; 48]].concat();
        assert!(with(&[start(1), vec![0]].concat()).is_ok());
        assert_eq!(with(&[start(2), vec![0]].concat()), Err(NotATicket::Version(2)));
        for rest in [
            &[8][..],
            &[0, 0],
            &[1, 0, 0, 0],
            &[4, 0],
            &[4, 2, b'a'],
            &[4, 1, b'/'],
            &[4, 1, 0xff],
            &[4, 2, b'.', b'.'],
            &[4, 1, b'\n'],
        ] {
            assert_eq!(with(&[start(1), rest.to_vec()].concat()), Err(NotATicket::Damaged), "{rest:?}");
        }
        assert_eq!(with(&[]), Err(NotATicket::Damaged));
    }
}
