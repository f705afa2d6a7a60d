//! A full scan of the rows: whether L1 to L5 hold in them, and their digest (L7).
//!
//! Reads what is stored, not what `apply` remembers, so that it can find state wrong.

use netpay_protocol::amounts::WordCount;
use netpay_protocol::ids::Digest;
use netpay_protocol::payout::PayoutState;

use crate::rows::{AccountRow, EcoinRow, PayoutRow, RunRow, Table, Totals};

/// Takes the rows of all tables, in the order of [`Table::ALL`] and of their keys.
#[derive(Default)]
pub struct Scan {
    digest: blake3::Hasher,
    peers: i128,
    ecoins_worth: i128,
    paid_by_ecoins: u64,
    paid_by_runs: u64,
    debts_of_accounts: i128,
    ecoins_live: u64,
    ecoins_owned: u64,
    ecoins_expiring: u64,
    payouts_open: i128,
    last_run: Option<(Vec<u8>, u32)>,
    totals: Totals,
    broken: Vec<String>,
}

/// What a scan found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Findings {
    /// BLAKE3 over all rows: per row u8 table, u32be key length, key, u32be row length, row.
    pub digest: Digest,
    /// The totals, with the position that was scanned.
    pub totals: Totals,
    /// Σ accounts; not zero when money came from nowhere.
    pub imbalance: i128,
    /// Escrow less what the live e-coins are worth.
    pub escrow_gap: i128,
    /// Everything that is wrong, in words.
    pub broken: Vec<String>,
}

impl Scan {
    /// Takes one row.
    pub fn row(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let number = Table::ALL.iter().position(|t| *t == table).and_then(|i| u8::try_from(i).ok());
        self.digest.update(&[number.expect("there are far fewer than 256 tables")]);
        for bytes in [key, value] {
            let len = u32::try_from(bytes.len()).expect("rows are far below 4 GiB");
            self.digest.update(&len.to_be_bytes()).update(bytes);
        }
        if self.check(table, key, value).is_none() {
            self.broken.push(format!("a row of {} cannot be read", table.name()));
        }
    }

    fn check(&mut self, table: Table, key: &[u8], value: &[u8]) -> Option<()> {
        match table {
            Table::Accounts => {
                let row: AccountRow = minicbor::decode(value).ok()?;
                self.peers += i128::from(row.balance.0);
                self.debts_of_accounts += i128::from(row.debt.0);
            }
            Table::Ecoins => {
                let row: EcoinRow = minicbor::decode(value).ok()?;
                let t = &row.touchstone.content;
                self.ecoins_live += u64::from(row.expired_at_ms.is_none());
                self.paid_by_ecoins += u64::from(row.paid.0);
                match WordCount(t.n.0).minus(row.paid) {
                    None => self.broken.push(format!("L4: more words of e-coin {} are paid than it has", t.ecoin)),
                    Some(left) if row.expired_at_ms.is_none() => {
                        self.ecoins_worth += i128::from(left.worth(t.unit_value).0);
                    }
                    Some(_) => {}
                }
            }
            Table::Runs => {
                let row: RunRow = minicbor::decode(value).ok()?;
                let (ecoin, first) = key.split_first_chunk::<16>()?;
                let first = u32::from_be_bytes(first.try_into().ok()?);
                let overlaps = self.last_run.as_ref().is_some_and(|(id, last)| id == ecoin && *last >= first);
                if overlaps || row.through.0 < first {
                    self.broken.push(format!("L3: paid runs overlap at word {first}"));
                }
                self.paid_by_runs += u64::from(row.through.0.saturating_sub(first)) + 1;
                self.last_run = Some((ecoin.to_vec(), row.through.0));
            }
            Table::Meta => self.totals = minicbor::decode(value).ok()?,
            Table::EcoinsByPayer => self.ecoins_owned += 1,
            Table::Expiry => self.ecoins_expiring += 1,
            Table::Payouts => {
                let row: PayoutRow = minicbor::decode(value).ok()?;
                if row.state == PayoutState::Requested {
                    self.payouts_open += i128::from(row.amount.0);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// What was found, after the last row.
    pub fn finish(mut self) -> Findings {
        let totals = self.totals;
        let escrow = i128::from(totals.escrow.0);
        let imbalance = self.peers + escrow + i128::from(totals.outside);
        let escrow_gap = escrow - self.ecoins_worth;
        for (wrong, what) in [
            (imbalance != 0, "L1: the accounts do not sum to zero"),
            (escrow_gap != 0, "L2: escrow is not what the live e-coins are worth"),
            (self.paid_by_ecoins != self.paid_by_runs, "L3: e-coins and runs disagree on how many words are paid"),
            (self.peers != i128::from(totals.peers.0), "totals: balances sum to something else"),
            (
                self.ecoins_live != self.ecoins_owned,
                "ecoins_by_payer: not every e-coin that lives is found by its payer",
            ),
            (self.ecoins_live != self.ecoins_expiring, "expiry: not every e-coin that lives will be refunded"),
            (self.payouts_open != i128::from(totals.payouts_open().0), "totals: open payouts sum to something else"),
            (self.debts_of_accounts != i128::from(totals.debts.0), "totals: debts sum to something else"),
        ] {
            if wrong {
                self.broken.push(what.into());
            }
        }
        let digest = Digest(*self.digest.finalize().as_bytes());
        Findings { digest, totals, imbalance, escrow_gap, broken: self.broken }
    }
}
