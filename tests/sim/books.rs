//! The model's own books: what the committed log says, added up without the ledger's code, and what was told to whom.
//!
//! A record enters them when it is committed, whoever knows that. An answer is held against them when it is given: it
//! must name a head of the log, no older than what anybody was told before the question, and fit what is in the log there.

use std::collections::{BTreeMap, BTreeSet};

use netpay_ledger::command::Request;
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::record::Record;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{EcoinId, PeerId, RequestId};
use netpay_protocol::redemption::Head;

/// A sold e-coin: its payer, the words that it has, those that were paid, and whether the rest went back.
struct Coin {
    payer: PeerId,
    n: u32,
    paid: BTreeSet<u32>,
    refunded: bool,
}

/// See the module.
pub struct Books {
    heads: Vec<Head>,
    records: Vec<Record>,
    by_request: BTreeMap<(PeerId, RequestId), u64>,
    references: BTreeMap<String, u64>,
    coins: BTreeMap<EcoinId, Coin>,
    payouts: BTreeSet<(PeerId, RequestId)>,
    /// After which record each balance became what.
    balances: BTreeMap<PeerId, Vec<(u64, i128)>>,
    /// What went back to payers by itself.
    pub refunds: BTreeMap<PeerId, i128>,
    /// The newest position that anybody was told of.
    pub told: u64,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            heads: vec![Head::default()],
            records: Vec::new(),
            by_request: BTreeMap::new(),
            references: BTreeMap::new(),
            coins: BTreeMap::new(),
            payouts: BTreeSet::new(),
            balances: BTreeMap::new(),
            refunds: BTreeMap::new(),
            told: 0,
        }
    }
}

fn at(position: u64) -> usize {
    usize::try_from(position).expect("a short log")
}

fn once(first: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if first { Ok(()) } else { Err(what()) }
}

impl Books {
    /// A record was committed, and follows what was.
    pub fn committed(&mut self, record: &Record) -> Result<(), String> {
        let (position, head) = (record.position, *self.heads.last().expect("the empty log's at least"));
        once((position, record.prev_hash) == (head.position + 1, head.hash), || format!("{position} does not follow"))?;
        self.heads.push(record.head());
        self.records.push(record.clone());
        if let Some(request) = record.request {
            let before = self.by_request.insert((request.signer, request.id), position);
            once(before.is_none(), || format!("{request:?} is recorded at {before:?}, and again at {position}"))?;
        }
        record.events.iter().try_for_each(|event| self.happened(position, event))
    }

    fn happened(&mut self, position: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::FundsCredited { peer, amount, reference, .. } => {
                let before = self.references.insert(reference.clone(), position);
                once(before.is_none(), || format!("{reference} is credited at {before:?}, and again at {position}"))?;
                self.post(position, *peer, i128::from(amount.0))
            }
            Event::EcoinsIssued { order, touchstones, .. } => {
                for touchstone in touchstones {
                    let t = &touchstone.content;
                    let coin = Coin { payer: t.payer, n: t.n.0, paid: BTreeSet::new(), refunded: false };
                    let before = self.coins.insert(t.ecoin, coin);
                    once(before.is_none(), || format!("{} is sold twice", t.ecoin))?;
                    self.post(position, order.content.payer, -i128::from(t.n.0))?;
                }
                Ok(())
            }
            Event::BatchRedeemed { payee, claims } => self.redeemed(position, *payee, claims),
            Event::EcoinExpired { ecoin, refund, .. } => {
                let coin = self.coins.get_mut(ecoin).ok_or("an e-coin is refunded that nobody bought")?;
                let left = i128::from(coin.n) - i128::try_from(coin.paid.len()).expect("few");
                let right = !coin.refunded && i128::from(refund.0) == left;
                once(right, || format!("{ecoin} with {left} words left is refunded {refund} at {position}"))?;
                coin.refunded = true;
                let payer = coin.payer;
                *self.refunds.entry(payer).or_default() += left;
                self.post(position, payer, left)
            }
            Event::PayoutRequested { order } => {
                let out = &order.content;
                once(self.payouts.insert((out.peer, out.request)), || format!("paid out again at {position}"))?;
                self.post(position, out.peer, -i128::from(out.amount_units.0))
            }
            _ => Ok(()),
        }
    }

    fn redeemed(&mut self, position: u64, payee: PeerId, claims: &[RedeemedClaim]) -> Result<(), String> {
        let mut units = 0;
        for claim in claims {
            let RedeemedClaim::Settled(claim) = claim else { continue };
            let coin = self.coins.get_mut(&claim.ecoin).ok_or("words are paid of an e-coin that nobody bought")?;
            for word in claim.credited.iter().flat_map(|run| run.from.0..=run.through.0) {
                let new = !coin.refunded && word <= coin.n && coin.paid.insert(word);
                once(new, || format!("word {word} of {} is paid again at {position}", claim.ecoin))?;
                units += 1;
            }
        }
        self.post(position, payee, units)
    }

    fn post(&mut self, position: u64, peer: PeerId, units: i128) -> Result<(), String> {
        let balances = self.balances.entry(peer).or_default();
        let balance = balances.last().map_or(0, |(_, balance)| *balance) + units;
        balances.push((position, balance));
        once(balance >= 0, || format!("a balance is {balance} at {position}"))
    }

    /// What a peer has after this record.
    fn balance_at(&self, peer: PeerId, position: u64) -> i128 {
        let of_peer = self.balances.get(&peer).map_or(&[][..], Vec::as_slice);
        let until = of_peer.partition_point(|(at, _)| *at <= position);
        until.checked_sub(1).map_or(0, |last| of_peer[last].1)
    }

    /// What everybody has now.
    pub fn balances(&self) -> BTreeMap<PeerId, i128> {
        self.balances.keys().map(|peer| (*peer, self.balance_at(*peer, u64::MAX))).collect()
    }

    /// A record of the log.
    pub fn record(&self, position: u64) -> Option<&Record> {
        self.records.get(at(position.checked_sub(1)?))
    }

    /// Somebody is told of a head, who asked when `floor` was the newest that anybody had been told of.
    pub fn tells(&mut self, head: Head, floor: u64) -> Result<(), String> {
        let real = self.heads.get(at(head.position)).is_some_and(|known| *known == head);
        once(real, || format!("an answer names head {}, which is not in the log", head.position))?;
        once(head.position >= floor, || {
            format!("an answer is from position {}, {floor} had been told before it was asked for", head.position)
        })?;
        self.told = self.told.max(head.position);
        Ok(())
    }

    /// A signer is told its balance at a head.
    pub fn tells_balance(&self, signer: PeerId, head: Head, balance: Units) -> Result<(), String> {
        let right = self.balance_at(signer, head.position);
        once(i128::from(balance.0) == right, || {
            format!("{signer} is told a balance of {balance} at {}, it is {right}", head.position)
        })
    }

    /// Somebody is told that a request is recorded at a position.
    pub fn tells_recorded(&self, request: &Request, reference: Option<&str>, position: u64) -> Result<(), String> {
        let by_reference = reference.and_then(|reference| self.references.get(reference));
        let known = self.record(position).is_some_and(|record| record.request.as_ref() == Some(request));
        once(known || by_reference == Some(&position), || format!("{request:?} is not what is recorded at {position}"))
    }

    /// Somebody is told that a request is not recorded up to this position.
    pub fn tells_not_recorded(&self, request: &Request, position: u64) -> Result<(), String> {
        let found = self.by_request.get(&(request.signer, request.id)).filter(|at| **at <= position);
        once(found.is_none(), || format!("{request:?} is refused at {position}, though it is recorded at {found:?}"))
    }
}
