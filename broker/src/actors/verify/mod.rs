//! Checking, in parallel and without state of its own: signatures, hashes, and what was fixed when an e-coin was sold.
//! Reads are answered from here; money commands go on to the writer, who checks again whatever may have changed.

mod admin;
mod ask;
pub mod budget;
mod buy;
mod payout;
mod redeem;
mod restore;
mod rotate;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use netpay_ledger::command::{OpenAccount, Request};
use netpay_ledger::load;
use netpay_ledger::record::Record;
use netpay_ledger::rejection::Rejection;
use netpay_ledger::rows::{AccountRow, RequestRow, Row as _, SuspendedRow, Table, Totals};
use netpay_protocol::admin::{AccountView, Admin};
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::{DAY_MS, MAX_REVOKED};
use netpay_protocol::messages;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::register::Register;
use netpay_protocol::revocation::RevocationList;

use super::clock::Clock;
use super::ledger::{self, Order};
use super::refusals::{given_up, not_registered, rejected};
use super::runtime::{Address, Handler};
use super::views::account_view;
use crate::config::Policy;
use crate::keys::BrokerKeys;
use crate::ports::state::StateError;
use crate::ports::{Copies, Reply, State, fail_stop, now_ms};

/// One decoded request with its way back.
pub struct Job {
    /// The request.
    pub work: Work,
    /// The way back.
    pub reply: Reply,
}

/// A request within its limits, of which nothing else is known yet.
pub enum Work {
    /// Open an account.
    Register(Signed<Register>),
    /// Buy e-coins.
    Buy(Box<messages::Buy>),
    /// Redeem a batch.
    Redeem(Box<messages::Redeem>),
    /// Pay out.
    Payout(Box<messages::Withdrawal>),
    /// Speak with other keys.
    Rotate(Box<messages::Rotate>),
    /// One's own account, statement, e-coins or payouts; anybody's key.
    Ask(Box<messages::Ask>),
    /// The key list.
    Keys,
    /// The revocation list.
    Notices,
    /// An operator's order, with the subject's last token.
    Admin(String, Signed<Admin>),
}

/// What every member of the pool shares.
pub struct Desk {
    /// The keys.
    pub keys: BrokerKeys,
    /// What is committed.
    pub state: Arc<dyn State>,
    /// Makes copies of it.
    pub copies: Arc<dyn Copies>,
    /// The writer.
    pub ledger: Address<Order>,
    /// What may be bought.
    pub policy: Policy,
    /// Who may give orders.
    pub operators: Vec<PublicKey>,
    /// Which life of the broker this is.
    pub incarnation: u64,
    /// Whether the time can be believed.
    pub clock: Arc<Clock>,
    /// What peers may still waste.
    pub budget: budget::Budget,
    /// The revocation list signed last, and when.
    pub revoked: Mutex<Option<(Instant, Signed<RevocationList>)>>,
}

/// How old a revocation list may be that is given out.
const REVOKED_AGE: Duration = Duration::from_millis(400);

/// A member of the pool.
pub struct VerifyActor {
    /// The shared desk.
    pub desk: Arc<Desk>,
}

impl Handler for VerifyActor {
    type Message = Job;

    fn handle(&mut self, job: Job, _: usize) {
        let Job { work, reply } = job;
        let desk = &self.desk;
        match work {
            Work::Register(register) => reply.result(desk.register(&register)),
            Work::Buy(buy) => buy::serve(desk, *buy, reply),
            Work::Redeem(redeem) => redeem::serve(desk, *redeem, reply),
            Work::Payout(payout) => payout::serve(desk, *payout, reply),
            Work::Rotate(rotate) => rotate::serve(desk, *rotate, reply),
            Work::Ask(ask) => ask::serve(desk, &ask, reply),
            Work::Keys => reply.message(&desk.keys.list),
            Work::Notices => reply.message(&desk.revocations()),
            Work::Admin(op, admin) => admin::serve(desk, &op, admin, reply),
        }
    }
}

impl Desk {
    fn broker(&self) -> BrokerId {
        self.keys.broker
    }

    /// Damage ends the process: see `fail_stop`.
    fn read<T>(&self, result: Result<T, StateError>) -> T {
        result.unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error))
    }

    fn row<R: netpay_ledger::rows::Row>(&self, key: &R::Key) -> Option<R> {
        self.read(load::row(&&*self.state, key))
    }

    fn totals(&self) -> Totals {
        self.row::<Totals>(&()).unwrap_or_default()
    }

    fn record(&self, position: u64) -> Option<Record> {
        self.read(load::record(&&*self.state, position))
    }

    /// The outcome of these very bytes, if they came before. Other bytes under the same id are refused.
    fn outcome_of(&self, request: &Request) -> Result<Option<Record>, Problem> {
        match self.row::<RequestRow>(&(request.signer, request.id)) {
            None => Ok(None),
            Some(row) if row.digest == request.digest => Ok(self.record(row.position)),
            Some(_) => Err(rejected(&Rejection::RequestIdReused)),
        }
    }

    /// Nothing about it goes into the ledger: the peer sends it again with its first money command.
    fn register(&self, register: &Signed<Register>) -> Result<messages::Account, Problem> {
        let peer = register.check(self.broker()).map_err(|why| not_registered(&why))?;
        Ok(messages::Account { peer, keys: self.keys.list.clone() })
    }

    /// Who signed a request, and its outcome if it came before. What is signed with a key that the account gave up gets that
    /// outcome, and nothing else. The account is read first: whatever was recorded before it gave up the key is found then.
    fn asked<L: Layout>(
        &self,
        request: &Request,
        signed: &Signed<L>,
        register: Option<Signed<Register>>,
    ) -> Result<(Signer, Option<Record>), Problem> {
        let (signer, is_present) = self.any_signer(request.signer, signed, register)?;
        let before = self.outcome_of(request)?;
        if is_present || before.is_some() { Ok((signer, before)) } else { Err(given_up()) }
    }

    /// Verifies what a peer signed, with its account's present key, or with the registration that opens the account.
    fn signer<L: Layout>(
        &self,
        peer: PeerId,
        signed: &Signed<L>,
        register: Option<Signed<Register>>,
    ) -> Result<Signer, Problem> {
        let (signer, is_present) = self.any_signer(peer, signed, register)?;
        if is_present { Ok(signer) } else { Err(given_up()) }
    }

    /// The same with any key that the account ever had; whether it is the present one.
    fn any_signer<L: Layout>(
        &self,
        peer: PeerId,
        signed: &Signed<L>,
        register: Option<Signed<Register>>,
    ) -> Result<(Signer, bool), Problem> {
        let account = self.row::<AccountRow>(&peer).unwrap_or_default();
        let opening = match (&account.opened, register) {
            (None, Some(register)) => {
                let opening =
                    OpenAccount::check(register, self.broker(), now_ms()).map_err(|why| not_registered(&why))?;
                Some(opening).filter(|opening| opening.peer() == peer)
            }
            _ => None,
        };
        let opened = account.opened.as_ref().map(|opened| &opened.register);
        let register = opened.or_else(|| opening.as_ref().map(OpenAccount::register));
        let Some(register) = register.cloned() else {
            return Err(rejected(&Rejection::AccountUnknown));
        };
        let key = register.content.signing_key;
        let is_present = signed.verify(&key).is_ok();
        let before = || account.former_keys.iter().flatten().any(|key| signed.verify(key).is_ok());
        if !is_present && !before() {
            let text = format!("the {} is not signed by the key of account {peer}", L::WHAT);
            return Err(Problem::new(Kind::BadSignature, text));
        }
        Ok((Signer { account, opening, register, key }, is_present))
    }

    /// Who is suspended, as of half a second ago or less. One at a time, so that a higher number never has older content;
    /// numbers are times that only rise, also over restarts and when the clock is set back.
    pub fn revocations(&self) -> Signed<RevocationList> {
        let mut held = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = held.as_ref().filter(|(at, _)| at.elapsed() < REVOKED_AGE).map(|(_, list)| list.clone());
        fresh.unwrap_or_else(|| {
            let last = held.as_ref().map_or_else(|| self.totals().recorded_at_ms, |(_, list)| list.content.seq);
            let list = self.revocations_now(last + 1);
            *held = Some((Instant::now(), list.clone()));
            list
        })
    }

    fn revocations_now(&self, least_seq: u64) -> Signed<RevocationList> {
        let now_ms = now_ms();
        let (from, to) = (SuspendedRow::key(&PeerId([0; 16])), SuspendedRow::key(&PeerId([0xff; 16])));
        let most = usize::try_from(MAX_REVOKED).unwrap_or(usize::MAX);
        let rows = self.read(self.state.range(Table::Suspended, &from, &to, most.saturating_add(1)));
        if rows.len() > most {
            tracing::error!("more than {most} accounts are suspended; the revocation list leaves out the rest");
        }
        let peers = rows.into_iter().take(most).filter_map(|(key, value)| {
            let row: SuspendedRow = minicbor::decode(&value).ok()?;
            Some((PeerId(key.try_into().ok()?), row.since_ms))
        });
        self.keys.sign_notice(RevocationList {
            broker: self.broker(),
            kid: self.keys.notice_kid(),
            incarnation: self.incarnation,
            seq: now_ms.max(least_seq),
            issued_at_ms: now_ms,
            next_at_ms: now_ms + DAY_MS,
            peers: peers.collect(),
        })
    }

    /// Passes a command to the writer.
    fn order(&self, order: Order) {
        ledger::send(&self.ledger, order);
    }

    fn account_view(&self, peer: PeerId) -> Option<AccountView> {
        loop {
            let totals = self.totals();
            let row: AccountRow = self.row(&peer)?;
            if self.totals().head == totals.head {
                return Some(account_view(peer, &row, &totals));
            }
        }
    }
}

/// Whose signature was verified, with the account as it is now.
struct Signer {
    account: AccountRow,
    opening: Option<OpenAccount>,
    register: Signed<Register>,
    key: PublicKey,
}
