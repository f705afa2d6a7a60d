//! What a redemption would send: it is played through by the same code, in a transaction that its caller takes back.
//!
//! Sends nothing; what it writes must not be committed ([`crate::store::Store::rehearse`]).

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{Claim, RedemptionBatch};

use super::redeeming::{self, Redeemer, Which};
use crate::ports::{Batches, Slots, StoreError, Stored, Till, TillClaim};

/// A batch that would be sent.
#[derive(Debug)]
pub struct Planned {
    /// The batch.
    pub batch: Signed<RedemptionBatch>,
    /// Whether it was left open by an earlier command, and would be sent again as it is; a new one gets an id when it
    /// is made.
    pub open: bool,
    /// Its claims.
    pub claims: Vec<PlannedClaim>,
}

/// A claim that would be made.
#[derive(Debug)]
pub struct PlannedClaim {
    /// The claim.
    pub claim: Claim,
    /// Who paid.
    pub payer: PeerId,
    /// What it asks for that no statement settled.
    pub worth: Units,
    /// After this it is lost.
    pub redeem_until_ms: u64,
}

/// Plays a redemption through, as if the broker settled everything.
pub fn rehearse(
    store: &(impl Till + Batches + Slots),
    who: &Redeemer<'_>,
    which: Which,
    now_ms: u64,
) -> Stored<Vec<Planned>> {
    let (mut planned, mut cursor) = (Vec::new(), 0);
    loop {
        let open = store.open_batch()?.is_some();
        let request = crate::home::identity::new_request();
        let Some((batch, last)) = redeeming::batch(store, who, request, which, cursor, now_ms)? else {
            return Ok(planned);
        };
        cursor = last;
        let claims = batch.content.claims.iter().map(|claim| settled(store, claim)).collect::<Stored<_>>()?;
        store.drop_batch(batch.content.request)?;
        planned.push(Planned { batch, open, claims });
    }
}

/// Settles a claim in this transaction alone, so that what follows does not ask for its words again.
fn settled(store: &impl Till, claim: &Claim) -> Stored<PlannedClaim> {
    let missing = || StoreError::damaged("a claim that is asked for is missing");
    let claims = store.claims(claim.ecoin())?;
    let held = claims.into_iter().find(|held| held.grant.from == claim.index.content.from).ok_or_else(missing)?;
    let ecoin = store.till_ecoin(claim.ecoin())?.ok_or_else(missing)?;
    let t = &ecoin.touchstone.content;
    let asked = TillClaim { through: claim.through.min(held.through), ..held.clone() };
    let worth = redeeming::unsettled(&asked).worth(t.unit_value);
    store.put_claim(&TillClaim { settled: held.settled.max(claim.through), again: false, ..held })?;
    Ok(PlannedClaim { claim: claim.clone(), payer: t.payer, worth, redeem_until_ms: t.redeem_until_ms })
}
