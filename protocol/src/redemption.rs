//! Redemption (the paper's M6 and M7): claims, batches, verdicts, statements.

use crate::amounts::{PaywordIndex, Units, WordCount};
use crate::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use crate::index::{Grant, SignedIndex};
use crate::keys::Signature;
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};
use crate::limits::MAX_CLAIMS_PER_BATCH;
use crate::suite::Payword;

/// One run asked for: the grant's words `from..=through`, proven by W(through).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The payer's grant. The claim's e-coin is the grant's; there is no other.
    pub index: Signed<SignedIndex>,
    /// The last word claimed.
    pub through: PaywordIndex,
    /// W(through).
    pub word: Payword,
}

/// Where a ledger stands: position and hash of its last record. Position 0 is the empty ledger (hash zero).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Head {
    /// How many records there are.
    #[n(0)]
    pub position: u64,
    /// The BLAKE3 hash of the last one, which covers all before it.
    #[n(1)]
    pub hash: Digest,
}

impl Head {
    pub(crate) fn write(&self, w: &mut Writer) {
        w.u64(self.position);
        w.fixed(&self.hash.0);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { position: r.u64()?, hash: Digest(r.fixed()?) })
    }
}

/// Many claims (M6). Layout `batch`, signed by the payee. The request id is the batch's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedemptionBatch {
    /// The broker.
    pub broker: BrokerId,
    /// Who redeems.
    pub payee: PeerId,
    /// The batch's id.
    pub request: RequestId,
    /// The last head that the payee saw in a statement (zero: none). A broker whose log lacks it must say so.
    pub seen: Head,
    /// What is asked for.
    pub claims: Vec<Claim>,
}

impl Layout for RedemptionBatch {
    const WHAT: &'static str = "batch";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.payee.0);
        w.fixed(&self.request.0);
        self.seen.write(w);
        w.count(self.claims.len());
        for claim in &self.claims {
            claim.index.content.write_fields(w);
            w.fixed(&claim.index.signature.0);
            w.u32(claim.through.0);
            w.fixed(claim.word.bytes());
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (broker, payee) = (BrokerId(r.fixed()?), PeerId(r.fixed()?));
        let (request, seen) = (RequestId(r.fixed()?), Head::read(r)?);
        let claims = r.list("claims in a batch", MAX_CLAIMS_PER_BATCH, |r| {
            Ok(Claim {
                index: Signed { content: SignedIndex::read_fields(r, broker)?, signature: Signature(r.fixed()?) },
                through: PaywordIndex(r.u32()?),
                word: Payword::unchecked(r.fixed()?),
            })
        })?;
        Ok(Self { broker, payee, request, seen, claims })
    }
}

impl RedemptionBatch {
    /// Σ `through`: the most hash steps that checking it can cost.
    pub fn steps(&self) -> u64 {
        self.claims.iter().map(|claim| u64::from(claim.through.0)).sum()
    }
}

impl Claim {
    /// The grant without what the batch already says.
    pub fn grant(&self) -> Grant {
        Grant::from(&self.index)
    }

    /// The e-coin: the grant's.
    pub fn ecoin(&self) -> EcoinId {
        self.index.content.ecoin
    }
}

/// The broker's word on one claim (DESIGN §3.7), tested in this order. Numbers never change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Verdict {
    /// The broker does not know the e-coin: keep the claim, and send it with its touchstone.
    #[n(1)]
    UnknownEcoin,
    /// The range is not within the grant and the chain, or the word is not on the chain.
    #[n(2)]
    Invalid,
    /// The grant is not the payer's word to this payee.
    #[n(3)]
    Unauthorised,
    /// The e-coin was refunded: it is too late.
    #[n(4)]
    Expired,
    /// No conflict, and some words are credited now.
    #[n(5)]
    Credited,
    /// No conflict, and all words had been credited to this payee before.
    #[n(6)]
    AlreadyPaid,
    /// Some words had been paid to somebody else: the payer spent them twice.
    #[n(7)]
    Conflicting,
}

impl Verdict {
    /// Every verdict, in order of precedence.
    pub const ALL: [Self; 7] = [
        Self::UnknownEcoin,
        Self::Invalid,
        Self::Unauthorised,
        Self::Expired,
        Self::Credited,
        Self::AlreadyPaid,
        Self::Conflicting,
    ];

    /// Its number in layouts.
    pub fn number(self) -> u8 {
        match self {
            Self::UnknownEcoin => 1,
            Self::Invalid => 2,
            Self::Unauthorised => 3,
            Self::Expired => 4,
            Self::Credited => 5,
            Self::AlreadyPaid => 6,
            Self::Conflicting => 7,
        }
    }

    /// Its name, as programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownEcoin => "unknown_ecoin",
            Self::Invalid => "invalid",
            Self::Unauthorised => "unauthorised",
            Self::Expired => "expired",
            Self::Credited => "credited",
            Self::AlreadyPaid => "already_paid",
            Self::Conflicting => "conflicting",
        }
    }

    /// Whether the claim's words are settled by it: credited, paid before, or lost to another. Claims answered
    /// otherwise settle nothing.
    pub fn settles(self) -> bool {
        matches!(self, Self::Credited | Self::AlreadyPaid | Self::Conflicting)
    }
}

/// One claim's answer. For a verdict that settles, the three counts sum to the run; otherwise they are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Line {
    /// The verdict.
    #[n(0)]
    pub verdict: Verdict,
    /// Words credited now.
    #[n(1)]
    pub credited: WordCount,
    /// Words credited to this payee before.
    #[n(2)]
    pub already_paid: WordCount,
    /// Words paid to another.
    #[n(3)]
    pub conflicting: WordCount,
}

impl Line {
    /// A claim that settles nothing.
    pub fn refused(verdict: Verdict) -> Self {
        Self { verdict, credited: WordCount(0), already_paid: WordCount(0), conflicting: WordCount(0) }
    }

    /// A claim that settles its run; the verdict follows from the counts.
    pub fn settled(credited: WordCount, already_paid: WordCount, conflicting: WordCount) -> Self {
        let verdict = if conflicting.0 > 0 {
            Verdict::Conflicting
        } else if credited.0 > 0 {
            Verdict::Credited
        } else {
            Verdict::AlreadyPaid
        };
        Self { verdict, credited, already_paid, conflicting }
    }
}

/// The broker's signed answer to one batch (M7). Layout `statement`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The broker.
    pub broker: BrokerId,
    /// The broker's key that signs.
    pub kid: Kid,
    /// Which life of the broker.
    pub incarnation: u64,
    /// Whose account.
    pub payee: PeerId,
    /// The batch's id.
    pub request: RequestId,
    /// SHA-256 of the batch's tag and layout: the statement is about these very claims.
    pub batch: Digest,
    /// When it was signed.
    pub issued_at_ms: u64,
    /// One line per claim, in the batch's order.
    pub lines: Vec<Line>,
    /// The payee's balance after it.
    pub balance_units: Units,
    /// The ledger's head after it.
    pub head: Head,
}

impl Layout for Statement {
    const WHAT: &'static str = "statement";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.kid.0);
        w.u64(self.incarnation);
        w.fixed(&self.payee.0);
        w.fixed(&self.request.0);
        w.fixed(&self.batch.0);
        w.u64(self.issued_at_ms);
        w.count(self.lines.len());
        for line in &self.lines {
            w.u8(line.verdict.number());
            w.u32(line.credited.0);
            w.u32(line.already_paid.0);
            w.u32(line.conflicting.0);
        }
        w.u64(self.balance_units.0);
        self.head.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            broker: BrokerId(r.fixed()?),
            kid: Kid(r.fixed()?),
            incarnation: r.u64()?,
            payee: PeerId(r.fixed()?),
            request: RequestId(r.fixed()?),
            batch: Digest(r.fixed()?),
            issued_at_ms: r.u64()?,
            lines: r.list("lines in a statement", MAX_CLAIMS_PER_BATCH, |r| {
                let number = r.u8()?;
                let verdict = Verdict::ALL.into_iter().find(|v| v.number() == number);
                Ok(Line {
                    verdict: verdict.ok_or(Malformed::Value("verdict"))?,
                    credited: WordCount(r.u32()?),
                    already_paid: WordCount(r.u32()?),
                    conflicting: WordCount(r.u32()?),
                })
            })?,
            balance_units: Units(r.u64()?),
            head: Head::read(r)?,
        })
    }
}

/// Why a statement is not the answer to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTheAnswer {
    /// It is about another account, batch, or broker.
    #[error("statement is for another payee, batch or broker")]
    Another,
    /// It has not one line per claim.
    #[error("statement does not have one line per claim")]
    Lines,
    /// A line's counts do not sum to the claim's run, or a refused claim has counts.
    #[error("a line's counts do not sum to its claim's run")]
    Counts,
}

impl Statement {
    /// Whether this statement (whose signature was verified) answers exactly that batch.
    pub fn answers(&self, batch: &RedemptionBatch) -> Result<(), NotTheAnswer> {
        let same = (self.broker, self.payee, self.request) == (batch.broker, batch.payee, batch.request)
            && self.batch == batch.digest();
        if !same {
            return Err(NotTheAnswer::Another);
        }
        if self.lines.len() != batch.claims.len() {
            return Err(NotTheAnswer::Lines);
        }
        for (line, claim) in self.lines.iter().zip(&batch.claims) {
            let (from, through) = (u64::from(claim.index.content.from.0), u64::from(claim.through.0));
            let run = if line.verdict.settles() { (through + 1).saturating_sub(from) } else { 0 };
            let sum: u64 =
                [line.credited, line.already_paid, line.conflicting].iter().map(|words| u64::from(words.0)).sum();
            if sum != run {
                return Err(NotTheAnswer::Counts);
            }
        }
        Ok(())
    }
}
