//! Holding one claim against the facts fixed when its e-coin was sold: range, grant, word. Stateless and parallel.
//!
//! The upper half of the verdict table (DESIGN §3.7). What depends on state (expiry, what is paid to whom) is the
//! writer's, in `decide`.

use netpay_planted::{self as planted, Fault};
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::chain;
use netpay_protocol::ids::{EcoinId, PeerId};
use netpay_protocol::limits::MAX_CHAIN_LENGTH;
use netpay_protocol::redemption::{Claim, Verdict};
use netpay_protocol::runs::Run;
use netpay_protocol::touchstone::Touchstone;

/// What verifying a signature costs, in hash steps.
pub const SIGNATURE_STEPS: u64 = 500;
const MOST_STEPS: PaywordIndex = PaywordIndex(MAX_CHAIN_LENGTH);

/// A claim after its check.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum CheckedClaim {
    /// It will settle nothing.
    #[n(1)]
    Refused {
        /// Which e-coin it named.
        #[n(0)]
        ecoin: EcoinId,
        /// Why.
        #[n(1)]
        verdict: Verdict,
        /// How far down from its word the root lies.
        #[n(2)]
        steps: PaywordIndex,
    },
    /// Its words are the payer's, granted to this payee.
    #[n(2)]
    Proven(#[n(0)] ProvenClaim),
}

/// A claim whose range, grant and word were verified. Made by [`check`] only, here or on another node of this broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvenClaim {
    claim: Claim,
    run: Run,
}

impl ProvenClaim {
    /// The claim.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The words `from..=through`.
    pub fn run(&self) -> Run {
        self.run
    }
}

impl<C> minicbor::Encode<C> for ProvenClaim {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        (&self.claim.index, self.claim.through, self.claim.word, self.run).encode(e, context)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for ProvenClaim {
    fn decode(d: &mut minicbor::Decoder<'b>, context: &mut C) -> Result<Self, minicbor::decode::Error> {
        let (index, through, word, run) = d.decode_with(context)?;
        Ok(Self { claim: Claim { index, through, word }, run })
    }
}

impl CheckedClaim {
    /// The verdict, if it will settle nothing.
    pub fn refused(&self) -> Option<Verdict> {
        match self {
            Self::Refused { verdict, .. } => Some(*verdict),
            Self::Proven(_) => None,
        }
    }

    /// About what the check has cost, in hash steps: a signature counts for many.
    pub fn cost(&self) -> u64 {
        match self {
            Self::Refused { verdict: Verdict::UnknownEcoin, .. } => 16,
            Self::Refused { steps, .. } => SIGNATURE_STEPS + u64::from(steps.0),
            Self::Proven(proven) => SIGNATURE_STEPS + u64::from(proven.run.through.0),
        }
    }

    /// The e-coin it names.
    pub fn ecoin(&self) -> EcoinId {
        match self {
            Self::Refused { ecoin, .. } => *ecoin,
            Self::Proven(proven) => proven.claim.ecoin(),
        }
    }
}

/// Checks a claim of `payee` against the touchstone of the e-coin that its grant names (`None`: not known).
pub fn check(claim: Claim, payee: PeerId, touchstone: Option<&Touchstone>) -> CheckedClaim {
    match prove(&claim, payee, touchstone) {
        Ok(run) => CheckedClaim::Proven(ProvenClaim { claim, run }),
        Err(verdict) => CheckedClaim::Refused { ecoin: claim.ecoin(), verdict, steps: claim.through.min(MOST_STEPS) },
    }
}

/// Cheap things first: ranges, then the signature, then up to `through` hashes.
fn prove(claim: &Claim, payee: PeerId, touchstone: Option<&Touchstone>) -> Result<Run, Verdict> {
    let index = &claim.index.content;
    let touchstone = touchstone.ok_or(Verdict::UnknownEcoin)?;
    if !index.covers(claim.through, touchstone.n) {
        return Err(Verdict::Invalid);
    }
    let from = if planted::is(Fault::OffByOne) { index.from.next() } else { index.from };
    let run = Run::new(from, claim.through).ok_or(Verdict::Invalid)?;
    let for_payee = (index.payee == payee || planted::is(Fault::PayeeNotChecked))
        && touchstone.payer != payee
        && touchstone.guarantee.allows(payee);
    if !for_payee || claim.index.verify_under(touchstone).is_err() {
        return Err(Verdict::Unauthorised);
    }
    let on_chain =
        chain::reaches_root(touchstone.suite, &touchstone.ecoin, &touchstone.root, claim.through, &claim.word);
    if on_chain || planted::is(Fault::WordNotChecked) { Ok(run) } else { Err(Verdict::Invalid) }
}
