//! What a peer may ask of its own account, and the broker's signed answers.

use crate::ids::{BrokerId, Digest, Kid, PeerId, RequestId};
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::MAX_MESSAGE_BYTES;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// The account as it stands.
    Balance,
    /// The statement of a batch redeemed before.
    Statement(RequestId),
}

/// A question. Layout `query`, signed by the peer: accounts are nobody else's business.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The broker.
    pub broker: BrokerId,
    /// Who asks.
    pub peer: PeerId,
    /// After this the question is dead.
    pub valid_until_ms: u64,
    /// A ledger position that the answer must have reached; one that has not answers *try later*.
    pub min_position: u64,
    /// What is asked.
    pub question: Question,
}

impl Layout for Query {
    const WHAT: &'static str = "query";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.peer.0);
        w.u64(self.valid_until_ms);
        w.u64(self.min_position);
        let (kind, about) = match self.question {
            Question::Balance => (1, RequestId::default()),
            Question::Statement(request) => (2, request),
        };
        w.u8(kind);
        w.fixed(&about.0);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            peer: PeerId(r.fixed()?),
            valid_until_ms: r.u64()?,
            min_position: r.u64()?,
            question: match (r.u8()?, RequestId(r.fixed()?)) {
                (1, about) if about == RequestId::default() => Question::Balance,
                (2, request) => Question::Statement(request),
                _ => return Err(Malformed::Value("question")),
            },
        })
    }
}

/// The broker's signed answer to a query or an operator. Layout `answer`, signed by a key of purpose *statement*.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The broker.
    pub broker: BrokerId,
    /// The key that signs.
    pub kid: Kid,
    /// The digest of what was asked: an answer to another question is none.
    pub about: Digest,
    /// When it was signed.
    pub issued_at_ms: u64,
    /// CBOR, of the shape that the question calls for.
    pub body: Vec<u8>,
}

impl Layout for Answer {
    const WHAT: &'static str = "answer";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.fixed(&self.about.0);
        w.u64(self.issued_at_ms);
        w.bytes(&self.body);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let limit = u32::try_from(MAX_MESSAGE_BYTES).map_err(|_| Malformed::TooLong("answer"))?;
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            kid: Kid(r.fixed()?),
            about: Digest(r.fixed()?),
            issued_at_ms: r.u64()?,
            body: r.bytes("answer", limit)?.to_vec(),
        })
    }
}
