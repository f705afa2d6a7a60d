//! What a peer may ask of its own account and of another's key, and the broker's signed answers.

use crate::admin::PaidRun;
use crate::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};
use crate::limits::MAX_MESSAGE_BYTES;
use crate::subjects::BrokerOp;
use crate::touchstone::Touchstone;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// The account as it stands.
    Balance,
    /// The statement of a batch redeemed before.
    Statement(RequestId),
    /// One's own e-coins that were not refunded, in order of id, from after this one on (zeros: from the first).
    /// Answered by a [`Page`](crate::admin::Page) of [`OwnEcoin`]; the answer's `issued_at_ms` is the broker's time.
    Ecoins(EcoinId),
    /// One's own payouts in order of request id, from after this one on (zeros: from the first). Answered by a
    /// [`Page`](crate::admin::Page) of [`PayoutView`](crate::payout::PayoutView).
    Payouts(RequestId),
    /// Which key speaks for a peer, which need not be the asker. Answered by a signed
    /// [`Certificate`](crate::certificate::Certificate).
    Certificate(PeerId),
}

impl Question {
    /// The subject it travels on.
    pub fn op(self) -> BrokerOp {
        match self {
            Self::Balance | Self::Payouts(_) | Self::Certificate(_) => BrokerOp::Balance,
            Self::Statement(_) => BrokerOp::Statement,
            Self::Ecoins(_) => BrokerOp::Restore,
        }
    }

    /// The byte and the 16 bytes that stand for it in a layout.
    fn fields(self) -> (u8, [u8; 16]) {
        match self {
            Self::Balance => (1, [0; 16]),
            Self::Statement(request) => (2, request.0),
            Self::Ecoins(after) => (3, after.0),
            Self::Payouts(after) => (4, after.0),
            Self::Certificate(peer) => (5, peer.0),
        }
    }

    fn from_fields(kind: u8, about: [u8; 16]) -> Result<Self, Malformed> {
        match kind {
            1 if about == [0; 16] => Ok(Self::Balance),
            2 => Ok(Self::Statement(RequestId(about))),
            3 => Ok(Self::Ecoins(EcoinId(about))),
            4 => Ok(Self::Payouts(RequestId(about))),
            5 => Ok(Self::Certificate(PeerId(about))),
            _ => Err(Malformed::Value("question")),
        }
    }
}

/// An e-coin that the asker bought, and what the broker paid of it.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct OwnEcoin {
    /// What the broker says of it.
    #[n(0)]
    pub touchstone: Signed<Touchstone>,
    /// What was paid to whom, in order of the words.
    #[n(1)]
    pub paid: Vec<PaidRun>,
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
        let (kind, about) = self.question.fields();
        w.u8(kind);
        w.fixed(&about);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            peer: PeerId(r.fixed()?),
            valid_until_ms: r.u64()?,
            min_position: r.u64()?,
            question: Question::from_fields(r.u8()?, r.fixed()?)?,
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
