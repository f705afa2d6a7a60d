//! Payouts: a peer's balance leaves the ledger for the world outside, by the operator's hand.

use crate::amounts::Units;
use crate::ids::{BrokerId, PeerId, RequestId};
use crate::layout::{Layout, Malformed, Reader, Writer};
use crate::limits::MAX_DESTINATION_BYTES;

/// An order to pay out. Layout `payout`, signed by the peer. It is debited at once; the operator then settles it, or
/// gives the money back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestPayout {
    /// The broker.
    pub broker: BrokerId,
    /// Who is to be paid.
    pub peer: PeerId,
    /// The request. Also the payout's name.
    pub request: RequestId,
    /// After this the request is dead, unless it was carried out before.
    pub valid_until_ms: u64,
    /// How much, at least 1.
    pub amount_units: Units,
    /// Where to, in whatever form the operator asks for (a bank account, an invoice): 1 to 256 bytes of UTF-8.
    pub destination: String,
}

impl RequestPayout {
    /// Its name.
    pub fn key(&self) -> PayoutKey {
        PayoutKey { peer: self.peer, request: self.request }
    }
}

impl Layout for RequestPayout {
    const WHAT: &'static str = "payout";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.fixed(&self.peer.0);
        w.fixed(&self.request.0);
        w.u64(self.valid_until_ms);
        w.u64(self.amount_units.0);
        w.bytes(self.destination.as_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let payout = Self {
            broker: BrokerId(r.fixed()?),
            peer: PeerId(r.fixed()?),
            request: RequestId(r.fixed()?),
            valid_until_ms: r.u64()?,
            amount_units: Units(r.u64()?),
            destination: r.text("destination", MAX_DESTINATION_BYTES)?,
        };
        if payout.amount_units == Units::ZERO {
            return Err(Malformed::Value("amount"));
        }
        if payout.destination.is_empty() {
            return Err(Malformed::Value("destination"));
        }
        Ok(payout)
    }
}

/// How a payout stands. Settled and failed are final.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum PayoutState {
    /// Debited; the operator has not paid yet.
    #[n(1)]
    Requested,
    /// Paid outside.
    #[n(2)]
    Settled {
        /// The payment's name outside.
        #[n(0)]
        reference: String,
        /// When that was recorded.
        #[n(1)]
        at_ms: u64,
    },
    /// Not paid: the money is back on the account.
    #[n(3)]
    Failed {
        /// Why.
        #[n(0)]
        reason: String,
        /// When that was recorded.
        #[n(1)]
        at_ms: u64,
    },
}

/// A payout, as its peer and the operator see it.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct PayoutView {
    /// Whose.
    #[n(0)]
    pub peer: PeerId,
    /// Its name.
    #[n(1)]
    pub request: RequestId,
    /// How much.
    #[n(2)]
    pub amount: Units,
    /// Where to.
    #[n(3)]
    pub destination: String,
    /// When it was debited.
    #[n(4)]
    pub requested_at_ms: u64,
    /// How it stands.
    #[n(5)]
    pub state: PayoutState,
    /// The record that debited it.
    #[n(6)]
    pub position: u64,
}

/// Names one payout.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct PayoutKey {
    /// Whose.
    #[n(0)]
    pub peer: PeerId,
    /// Its request.
    #[n(1)]
    pub request: RequestId,
}
