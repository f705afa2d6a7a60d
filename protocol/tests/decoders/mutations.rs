//! How good bytes are spoilt: at random, and where a liar would: counts, lengths, forms, nesting.

/// One change. The numbers say where and what; any numbers will do.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Which of the ways below.
    pub how: u8,
    /// Where, modulo what there is.
    pub at: usize,
    /// With what.
    pub with: usize,
}

/// Numbers that stand at some edge.
const EDGES: [u32; 8] = [0, 1, 0x7f, 256, 4_097, 32_769, 0x7fff_ffff, 0xffff_ffff];

/// Items that no message has: indefinite lengths, a break, tags, bignums, floats and their NaNs, null, undefined,
/// lengths that no memory holds, numbers written the long way, empty and nested containers.
const STRANGE: [&[u8]; 24] = [
    &[0x9f, 0xff],
    &[0xbf, 0xff],
    &[0x5f, 0x41, 0x01, 0xff],
    &[0x7f, 0x61, 0x61, 0xff],
    &[0xff],
    &[0xc0, 0x00],
    &[0xd9, 0xd9, 0xf7, 0x01],
    &[0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    &[0xc3, 0x41, 0x01],
    &[0xf9, 0x7e, 0x00],
    &[0xfa, 0x7f, 0xc0, 0x00, 0x00],
    &[0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1],
    &[0xf6],
    &[0xf7],
    &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xbb, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff],
    &[0x18, 0x00],
    &[0x80],
    &[0xa0],
    &[0x81, 0x81, 0xa1, 0x00, 0x81, 0xf4],
];

/// Makes the changes, one after another. `other` is a message to splice with.
pub fn spoil(bytes: &[u8], other: &[u8], changes: &[Change]) -> Vec<u8> {
    changes.iter().fold(bytes.to_vec(), |bytes, change| change.apply(bytes, other))
}

impl Change {
    fn apply(self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        let at = self.at % bytes.len().max(1);
        let end = bytes.len().min(at + 1 + self.with % 40);
        let pick = self.with.to_le_bytes()[0];
        let heads = heads(&bytes);
        let head = heads.get(self.at % heads.len().max(1)).copied();
        match (self.how % 14, head) {
            (0, _) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (pick % 8)),
            (1, _) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = pick),
            (2, _) => bytes.truncate(at),
            (3, _) => bytes.insert(at.min(bytes.len()), pick),
            (4, _) => drop(bytes.drain(at.min(end)..end)),
            // An item, or whatever lies there, twice.
            (5, _) => bytes.splice(end..end, bytes[at.min(end)..end].to_vec()).for_each(drop),
            // The head of one message and the tail of another.
            (6, _) => {
                bytes.truncate(at);
                bytes.extend(other.iter().skip(self.with % other.len().max(1)));
            }
            // A count or length of a layout.
            (7, _) => {
                let edge = EDGES[self.with % EDGES.len()].to_be_bytes();
                bytes.iter_mut().skip(at).zip(edge).for_each(|(byte, new)| *byte = new);
            }
            // The same, where a count is small: three zeros and something.
            (8, _) => {
                let counts: Vec<_> = bytes.windows(4).enumerate().filter(|(_, w)| w[..2] == [0, 0]).collect();
                if let Some(&(at, _)) = counts.get(self.at % counts.len().max(1)) {
                    let edge = EDGES[self.with % EDGES.len()].to_be_bytes();
                    bytes.splice(at..at + 4, edge);
                }
            }
            (9, Some(head)) => {
                bytes.splice(head.at..head.at, STRANGE[self.with % STRANGE.len()].to_vec()).for_each(drop)
            }
            (10, Some(head)) => {
                bytes.splice(head.at..head.end, STRANGE[self.with % STRANGE.len()].to_vec()).for_each(drop);
            }
            // The same number or length, written the long way.
            (11, Some(head)) => bytes.splice(head.at..head.at + head.len, head.longer(pick)).for_each(drop),
            // The same kind of item with another count, length or value.
            (12, Some(head)) => {
                let value = u64::from(EDGES[self.with % EDGES.len()]);
                bytes.splice(head.at..head.at + head.len, written(head.major, value)).for_each(drop);
            }
            // A container with a pair or item more: one that nobody knows, or one that is there already.
            (13, Some(head)) => {
                let more = [[0x18, 0x63, 0x80], [0x00, 0x00, 0x00], [0x01, 0xf6, 0x01]][self.with % 3];
                let written = written(head.major, head.value.wrapping_add(1));
                let start = head.at + written.len();
                bytes.splice(head.at..head.at + head.len, written);
                bytes.splice(start..start, more);
            }
            _ => bytes.push(pick),
        }
        bytes
    }
}

/// A CBOR item's first bytes.
#[derive(Clone, Copy)]
struct Head {
    at: usize,
    /// How many bytes say kind and value.
    len: usize,
    /// Where the item ends, or, if others are inside, where they begin.
    end: usize,
    major: u8,
    value: u64,
}

impl Head {
    fn longer(self, pick: u8) -> Vec<u8> {
        let bytes = self.value.to_be_bytes();
        let (info, skip) = [(24, 7), (25, 6), (26, 4), (27, 0)][usize::from(pick % 4)];
        [&[self.major << 5 | info], &bytes[skip..]].concat()
    }
}

fn written(major: u8, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let (info, skip) = match value {
        0..24 => return vec![major << 5 | bytes[7]],
        24..0x100 => (24, 7),
        0x100..0x1_0000 => (25, 6),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 0),
    };
    [&[major << 5 | info], &bytes[skip..]].concat()
}

/// The heads of all items, as far as the bytes are CBOR.
fn heads(bytes: &[u8]) -> Vec<Head> {
    let mut heads = Vec::new();
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        let (major, info) = (first >> 5, first & 31);
        let more = match info {
            0..24 => 0,
            24..=27 => 1_usize << (info - 24),
            _ => break,
        };
        let Some(said) = bytes.get(at + 1..at + 1 + more) else { break };
        let value =
            if more == 0 { u64::from(info) } else { said.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) };
        let len = 1 + more;
        let inside = if matches!(major, 2 | 3) { usize::try_from(value).unwrap_or(usize::MAX) } else { 0 };
        let Some(end) = (at + len).checked_add(inside).filter(|end| *end <= bytes.len()) else { break };
        heads.push(Head { at, len, end, major, value });
        at = end;
    }
    heads
}
