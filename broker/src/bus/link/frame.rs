//! A message between nodes as bytes, and the MAC that makes it one.
//!
//! ```text
//! message: version(1) topic(1) from(8) to(8) session(16) number(8) mac(32) body    mac over tag, broker, all but the mac
//! answer:  version(1) outcome(1) mac(32) body                        mac over tag, the message's mac, all but the mac
//! ```
//!
//! Integers are big-endian. An answer's MAC covers its message's: it can answer no other. Knows nothing of NATS, nor of which
//! session is good.

use netpay_protocol::ids::BrokerId;

use crate::keys::cluster::ClusterKey;
use crate::ports::link::{Kind, NodeId};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
const HEADER_BYTES: usize = 42;
/// What a frame has beside its body, at most.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + MAC_BYTES;

const MESSAGE_TAG: &[u8] = b"p2p-netpay/v1/cluster-message\0";
const ANSWER_TAG: &[u8] = b"p2p-netpay/v1/cluster-answer\0";

/// What one node calls what it says to another, drawn by the one that listens.
pub(super) type SessionId = [u8; 16];

/// Proves a message to be a node's, and names it.
pub(super) type Mac = blake3::Hash;

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topic {
    /// A session is asked for. `session` is a number drawn for this greeting.
    Greeting,
    /// For the handler of this kind.
    Content(Kind),
}

/// All of a message but its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub topic: Topic,
    pub from: NodeId,
    pub to: NodeId,
    pub session: SessionId,
    pub number: u64,
}

/// How a message was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// The body is the handler's answer.
    Answered,
    /// The body says why nothing was done.
    Refused,
}

/// Bytes that no node of this broker sent, or not as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Forged;

/// Writes and reads frames of one broker.
pub(super) struct Seal {
    pub key: ClusterKey,
    pub broker: BrokerId,
}

fn topic_byte(topic: Topic) -> u8 {
    match topic {
        Topic::Greeting => 0,
        Topic::Content(Kind::Append) => 1,
        Topic::Content(Kind::Vote) => 2,
        Topic::Content(Kind::Snapshot) => 3,
        Topic::Content(Kind::Command) => 4,
        Topic::Content(Kind::Status) => 5,
    }
}

fn taken_byte(taken: Taken) -> u8 {
    match taken {
        Taken::Answered => 0,
        Taken::Refused => 1,
    }
}

fn topic(byte: u8) -> Option<Topic> {
    let topics = Kind::ALL.map(Topic::Content);
    std::iter::once(Topic::Greeting).chain(topics).find(|topic| topic_byte(*topic) == byte)
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend([VERSION, topic_byte(self.topic)]);
        bytes.extend(self.from.to_be_bytes());
        bytes.extend(self.to.to_be_bytes());
        bytes.extend(self.session);
        bytes.extend(self.number.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let ([version, kind], rest) = bytes.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (to, rest) = rest.split_first_chunk()?;
        let (session, number) = rest.split_first_chunk()?;
        (*version == VERSION).then_some(Self {
            topic: topic(*kind)?,
            from: u64::from_be_bytes(*from),
            to: u64::from_be_bytes(*to),
            session: *session,
            number: u64::from_be_bytes(*number.first_chunk()?),
        })
    }
}

impl Seal {
    fn mac_of(&self, header: &[u8], body: &[u8]) -> Mac {
        self.key.mac(&[MESSAGE_TAG, &self.broker.0, header, body])
    }

    fn mac_of_answer(&self, about: &Mac, head: &[u8; 2], body: &[u8]) -> Mac {
        self.key.mac(&[ANSWER_TAG, about.as_bytes(), head, body])
    }

    /// A message, and its MAC for reading the answer.
    pub fn message(&self, header: &Header, body: &[u8]) -> (Vec<u8>, Mac) {
        let mut bytes = header.to_bytes();
        let mac = self.mac_of(&bytes, body);
        bytes.extend(mac.as_bytes());
        bytes.extend(body);
        (bytes, mac)
    }

    /// Header and body of a message, and its MAC for writing the answer. The MAC is looked at before anything else is.
    pub fn open_message<'a>(&self, bytes: &'a [u8]) -> Result<(Header, &'a [u8], Mac), Forged> {
        let (header, rest) = bytes.split_first_chunk().ok_or(Forged)?;
        let (mac, body) = rest.split_first_chunk::<MAC_BYTES>().ok_or(Forged)?;
        let mac = Mac::from_bytes(*mac);
        // Hashes are compared in constant time.
        if self.mac_of(header, body) != mac {
            return Err(Forged);
        }
        Ok((Header::read(header).ok_or(Forged)?, body, mac))
    }

    /// The answer to the message with this MAC.
    pub fn answer(&self, about: &Mac, taken: Taken, body: &[u8]) -> Vec<u8> {
        let head = [VERSION, taken_byte(taken)];
        let mac = self.mac_of_answer(about, &head, body);
        [&head, mac.as_bytes().as_slice(), body].concat()
    }

    /// The inverse of [`Seal::answer`].
    pub fn open_answer<'a>(&self, about: &Mac, bytes: &'a [u8]) -> Result<(Taken, &'a [u8]), Forged> {
        let (head, rest) = bytes.split_first_chunk::<2>().ok_or(Forged)?;
        let (mac, body) = rest.split_first_chunk::<MAC_BYTES>().ok_or(Forged)?;
        let [version, taken] = *head;
        if self.mac_of_answer(about, head, body) != Mac::from_bytes(*mac) || version != VERSION {
            return Err(Forged);
        }
        let found = [Taken::Answered, Taken::Refused].into_iter().find(|known| taken_byte(*known) == taken);
        Ok((found.ok_or(Forged)?, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: u8, broker: u8) -> Seal {
        Seal { key: ClusterKey::new([key; 32]), broker: BrokerId([broker; 16]) }
    }

    fn header(topic: Topic) -> Header {
        Header { topic, from: 1, to: 2, session: [3; 16], number: u64::MAX }
    }

    #[test]
    fn what_is_written_is_read_back_for_every_topic_and_its_answer_both_ways() {
        for topic in std::iter::once(Topic::Greeting).chain(Kind::ALL.map(Topic::Content)) {
            let (bytes, mac) = seal(1, 1).message(&header(topic), b"body");
            assert_eq!(bytes.len(), OVERHEAD_BYTES + 4);
            assert_eq!(seal(1, 1).open_message(&bytes), Ok((header(topic), b"body".as_slice(), mac)));
            for taken in [Taken::Answered, Taken::Refused] {
                let answer = seal(1, 1).answer(&mac, taken, b"said");
                assert_eq!(seal(1, 1).open_answer(&mac, &answer), Ok((taken, b"said".as_slice())));
            }
        }
    }

    #[test]
    fn a_message_or_answer_with_any_bit_changed_or_any_bytes_missing_is_forged() {
        let (message, mac) = seal(1, 1).message(&header(Topic::Content(Kind::Command)), b"body");
        let answer = seal(1, 1).answer(&mac, Taken::Answered, b"said");
        for (good, is_answer) in [(message, false), (answer, true)] {
            let is_forged = |bytes: &[u8]| match is_answer {
                true => seal(1, 1).open_answer(&mac, bytes).is_err(),
                false => seal(1, 1).open_message(bytes).is_err(),
            };
            assert!(!is_forged(&good));
            for at in 0..good.len() {
                for bit in 0..8 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    assert!(is_forged(&bad), "bit {bit} of byte {at}");
                }
                assert!(is_forged(&good[..at]), "the first {at} bytes");
            }
        }
    }

    #[test]
    fn another_key_or_another_broker_has_other_messages_and_answers() {
        let (message, mac) = seal(1, 1).message(&header(Topic::Greeting), b"body");
        assert_eq!(seal(2, 1).open_message(&message), Err(Forged));
        assert_eq!(seal(1, 2).open_message(&message), Err(Forged));
        let answer = seal(1, 1).answer(&mac, Taken::Answered, b"said");
        assert_eq!(seal(2, 1).open_answer(&mac, &answer), Err(Forged));
        let other = Header { number: 7, ..header(Topic::Greeting) };
        let (_, other) = seal(1, 1).message(&other, b"body");
        assert_eq!(seal(1, 1).open_answer(&other, &answer), Err(Forged), "an answer to another message");
    }
}
