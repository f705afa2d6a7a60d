//! A peer's statement (M7) against the log: whether they tell the same history.
//!
//! A statement names the log's head, and the hash of the head covers all before it; a broker that rewrote its log, or
//! lost its end, cannot show that record. Knows no agent: the statement comes as the signed bytes that a peer saved.

use std::path::Path;

use anyhow::Context as _;
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::record::Record;
use netpay_protocol::ids::Digest;
use netpay_protocol::key_list::Purpose;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{Head, Line, Statement};
use netpay_protocol::wire;

use super::books::Books;
use super::{Checked, Trust};

/// Watches for what one statement says.
pub struct Watch {
    statement: Statement,
    /// Of the record that the statement names: its hash, and the payee's balance after it.
    there: Option<(Digest, u64)>,
    /// The recorded outcome of the statement's batch: where, of which bytes, with which lines.
    outcome: Option<(u64, Digest, Vec<Line>)>,
}

/// A file that holds no statement of this broker.
#[derive(Debug, thiserror::Error)]
#[error("the statement is not this broker's: {0}")]
pub struct NotTheBrokers(&'static str);

/// Reads a statement that a peer saved with `netpay statement --batch ID --save FILE`.
pub fn read(file: &Path) -> anyhow::Result<Signed<Statement>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    wire::decode(&bytes).with_context(|| {
        format!("{} is no statement; save one with: netpay statement --batch ID --save FILE", file.display())
    })
}

impl Watch {
    /// For a statement that the broker signed.
    pub fn over(statement: Signed<Statement>, trust: &Trust) -> Result<Self, NotTheBrokers> {
        let s = &statement.content;
        if s.broker != trust.broker {
            return Err(NotTheBrokers("it is of another broker"));
        }
        // It is in no log: who has a revoked key can date what it signs as it likes.
        let key = trust.keys.find(s.kid, Purpose::Statement, s.issued_at_ms);
        let key = key.ok_or(NotTheBrokers("the key that it names was not the broker's then"))?;
        statement.verify(&key).map_err(|_| NotTheBrokers("the signature does not verify"))?;
        Ok(Self { statement: statement.content, there: None, outcome: None })
    }

    /// Looks at a record, after it was posted.
    pub(super) fn see(&mut self, head: Head, record: &Record, books: &Books) -> Checked<()> {
        let s = &self.statement;
        if head.position == s.head.position {
            self.there = Some((head.hash, books.account(s.payee)?.map_or(0, |account| account.balance)));
        }
        if let Some(request) = record.request.filter(|request| (request.signer, request.id) == (s.payee, s.request)) {
            self.outcome = Some((head.position, request.digest, lines(record)));
        }
        Ok(())
    }

    /// What the statement says that the log does not, after the last record.
    pub(super) fn verdict(&self, end: Head) -> Result<(), String> {
        let s = &self.statement;
        let (position, credits) = (s.head.position, s.lines.iter().any(|line| line.credited.0 > 0));
        // A batch that credits nothing and shows nothing new is not recorded, and may be answered before any record is.
        let (hash, balance) = self.there.unwrap_or((Digest::ZERO, 0));
        if position > end.position {
            return Err(format!("the log ends at position {}, the statement saw position {position}", end.position));
        }
        if hash != s.head.hash {
            return Err(format!("another history: position {position} has another hash in the log than was signed"));
        }
        if balance != s.balance_units.0 {
            return Err(format!("the balance at position {position} is {balance}, {} was signed", s.balance_units));
        }
        match &self.outcome {
            None if credits => Err("the log holds no outcome of the batch, the statement credits words".into()),
            None => Ok(()),
            // Answered with nothing then, sent again, and credited later.
            Some((at, ..)) if *at > position && !credits => Ok(()),
            Some((at, ..)) if *at > position => {
                Err(format!("the outcome of the batch is at position {at}, after the statement's"))
            }
            Some((at, digest, lines)) if (digest, lines) != (&s.batch, &s.lines) => {
                Err(format!("position {at} holds another outcome of the batch than was signed"))
            }
            Some(_) => Ok(()),
        }
    }
}

fn lines(record: &Record) -> Vec<Line> {
    let batch = record.events.iter().find_map(|event| match event {
        Event::BatchRedeemed { claims, .. } => Some(claims),
        _ => None,
    });
    batch.into_iter().flatten().map(line).collect()
}

fn line(claim: &RedeemedClaim) -> Line {
    match claim {
        RedeemedClaim::Refused(verdict) => Line::refused(*verdict),
        RedeemedClaim::Settled(claim) => {
            let credited = netpay_protocol::runs::count(&claim.credited);
            Line::settled(credited, claim.already_paid, claim.conflicting)
        }
    }
}
