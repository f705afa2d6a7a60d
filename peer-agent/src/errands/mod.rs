//! Errands to the broker: what wallet and till prepared is carried there, and the answer brought back.
//!
//! The same bytes are sent until an answer comes; silence and *busy* change nothing. Knows the broker as a port only.

mod own;
pub mod patience;
pub mod payout;
pub mod publishing;
pub mod rotating;
mod statement;
pub mod steward;

use netpay_crash_point::agent::Point;
use netpay_protocol::admin::AccountView;
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::{BrokerId, Digest, RequestId};
use netpay_protocol::key_list::{BrokerKeys, Purpose, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{Ask, Buy, Redeem, Sold};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::redemption::{RedemptionBatch, Statement, Verdict};
use netpay_protocol::register::Register;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::wire;

use crate::home::identity::Identity;
use crate::ports::{Broker, CallError, Slot, Slots as _, StoreError};
use crate::store::Store;
use crate::till::redeeming::{self, Redeemer, SettledLine, Which};
use crate::wallet::broker_lists::{self, NotTaken};
use crate::wallet::buying::{self, Bought, Wish};
use crate::wallet::locking;

/// How long a question to the broker is good for.
const QUESTION_LIFE_MS: u64 = 5 * 60 * 1_000;

/// Why an errand failed. Whatever was pending still is, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker said no.
    #[error("the broker says: {0}")]
    Rejected(Problem),
    /// The broker did not answer, or not now; the errand is kept and repeated by the next command.
    #[error("the broker: {0}")]
    Call(CallError),
    /// What came is not the pinned broker's word.
    #[error("{0}")]
    NotBelieved(String),
    /// There is no key list of the broker's yet.
    #[error("there is no key list of the broker's yet, and the broker cannot be asked now")]
    NoKeys,
    /// A home made from a backup buys nothing before it is locked.
    #[error("{}", locking::RESTORE_FIRST)]
    RestoreFirst,
    /// Words were paid that this wallet never let go: it was locked.
    #[error(
        "this wallet is a stale copy: {0} words of its e-coins were redeemed that it never paid out; all its e-coins are locked and will be refunded after their time. Use one copy of a wallet only"
    )]
    StaleCopy(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Problem(problem) if !problem.kind.is_passing() => Self::Rejected(problem),
            error => Self::Call(error),
        }
    }
}

impl From<NotTaken> for Error {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Store(error) => Self::Store(error),
            NotTaken::NoKeys => Self::NoKeys,
            error => Self::NotBelieved(error.to_string()),
        }
    }
}

/// Who runs errands, where.
pub struct Errands<'a, B> {
    /// The wallet.
    pub store: &'a Store,
    /// Who.
    pub me: &'a Identity,
    /// The pinned broker.
    pub broker: BrokerId,
    /// The way there.
    pub line: &'a B,
    /// The clock.
    pub now_ms: &'a dyn Fn() -> u64,
}

/// What one batch brought.
#[derive(Debug)]
pub struct Redeemed {
    /// The broker's word.
    pub statement: Statement,
    /// Its lines with their claims.
    pub lines: Vec<SettledLine>,
    /// Whether the broker was restored from a backup since the last statement: what it paid since may be forgotten there.
    pub restored: bool,
}

impl<B: Broker> Errands<'_, B> {
    /// Asks for the key list and the revocation list, and keeps what is newer.
    pub async fn refresh_lists(&self) -> Result<(), Error> {
        let keys: SignedKeyList = self.read(BrokerOp::Keys, Vec::new()).await?;
        Point::KeysAnswered.reached();
        self.store.write(|tx| broker_lists::take_keys(tx, self.broker, &keys))?;
        let revoked: Signed<RevocationList> = self.read(BrokerOp::Notices, Vec::new()).await?;
        Point::RevokedAnswered.reached();
        self.store.write(|tx| broker_lists::take_revoked(tx, self.broker, &revoked, (self.now_ms)()))?;
        Ok(())
    }

    /// The keys held; asks for them when there are none.
    pub async fn keys(&self) -> Result<BrokerKeys, Error> {
        let held = || self.store.read(|tx| broker_lists::keys(tx, self.broker)).map_err(Error::Store);
        if let Some(keys) = held()? {
            return Ok(keys);
        }
        self.refresh_lists().await?;
        held()?.ok_or(Error::NoKeys)
    }

    /// Buys: stores the order, then sends it until it is answered.
    pub async fn buy(&self, wish: Wish, request: RequestId) -> Result<Bought, Error> {
        let now_ms = (self.now_ms)();
        let buy = self.store.write(|tx| {
            if locking::must_lock(tx)? {
                return Err(Error::RestoreFirst);
            }
            Ok(buying::order(tx, self.me, self.broker, request, wish, now_ms)?)
        })?;
        Point::BuyKept.reached();
        let bought = self.deliver(&buy).await?;
        Point::BuyDone.reached();
        Ok(bought)
    }

    /// Sends the orders again that may still bring something.
    pub async fn resume_purchases(&self) -> Result<Vec<Result<Bought, Error>>, Error> {
        let now_ms = (self.now_ms)();
        // Purchases of a home made from a backup are dropped when it is locked.
        let orders =
            self.store.read(|tx| if locking::must_lock(tx)? { Ok(Vec::new()) } else { buying::to_send(tx, now_ms) })?;
        self.deliver_all(orders).await
    }

    /// Sends every order again that brought nothing, also those given up.
    pub async fn retry_purchases(&self) -> Result<Vec<Result<Bought, Error>>, Error> {
        let orders = self
            .store
            .read(|tx| if locking::must_lock(tx)? { Err(Error::RestoreFirst) } else { Ok(buying::unfulfilled(tx)?) })?;
        self.deliver_all(orders).await
    }

    async fn deliver_all(&self, orders: Vec<Signed<BuyEcoins>>) -> Result<Vec<Result<Bought, Error>>, Error> {
        let mut results = Vec::new();
        for buy in orders {
            match self.deliver(&buy).await {
                Err(Error::Call(error)) => return Err(Error::Call(error)),
                result => results.push(result),
            }
        }
        Ok(results)
    }

    async fn deliver(&self, buy: &Signed<BuyEcoins>) -> Result<Bought, Error> {
        let keys = self.keys().await?;
        let message = |register| wire::encode(&Buy { buy: buy.clone(), register });
        match self.with_keys(BrokerOp::Buy, self.register_if_unknown()?, message).await {
            Ok(bytes) => {
                Point::BuyAnswered.reached();
                let sold: Sold = decode(&bytes)?;
                self.receive(keys, |keys| {
                    let now_ms = (self.now_ms)();
                    self.store.write(|tx| {
                        tx.put_slot(Slot::KnownToLedger, b"yes")?;
                        buying::receive(tx, self.me, keys, buy, &sold, now_ms)
                    })
                })
                .await
                .map_err(|error| match error {
                    Either::Errand(error) => error,
                    Either::NotBelieved(buying::NotBelieved::Store(error)) => error.into(),
                    Either::NotBelieved(error) => Error::NotBelieved(error.to_string()),
                })
            }
            Err(CallError::Problem(problem)) => {
                let now_ms = (self.now_ms)();
                self.store.write(|tx| buying::rejected(tx, buy, &problem, now_ms))?;
                Err(CallError::Problem(problem).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Redeems claims in as many batches as it takes.
    pub async fn redeem(&self, which: Which) -> Result<Vec<Redeemed>, Error> {
        let who = Redeemer { me: self.me, broker: self.broker };
        // Without the broker's keys no answer could be believed.
        self.keys().await?;
        let mut done: Vec<Redeemed> = Vec::new();
        let mut cursor = 0;
        // A batch that an earlier command left open comes first and is not one of this command's.
        let (mut forked, mut retried_restored, mut retried_unknown) = (false, false, false);
        if self.store.read(|tx| redeeming::is_restored(tx))? {
            self.store.write(|tx| redeeming::ask_again(tx, (self.now_ms)()))?;
        }
        loop {
            let (now_ms, request) = ((self.now_ms)(), crate::home::identity::new_request());
            let next = self.store.write(|tx| redeeming::batch(tx, &who, request, which, cursor, now_ms))?;
            let Some((batch, last)) = next else {
                // What a restored broker may have forgotten is asked for again.
                if !retried_restored && done.iter().any(|batch| batch.restored) {
                    (retried_restored, cursor) = (true, 0);
                    continue;
                }
                // What the broker called unknown is sent once more, with its touchstone.
                let unknown = |line: &SettledLine| line.line.verdict == Verdict::UnknownEcoin;
                let again = done.iter().any(|batch| batch.lines.iter().any(unknown));
                if retried_unknown || !again {
                    return Ok(done);
                }
                (retried_unknown, cursor) = (true, 0);
                continue;
            };
            cursor = last;
            Point::BatchKept.reached();
            match self.redeem_batch(&batch).await {
                // Its ledger is an older one: without what was seen of the later one, it answers.
                Err(Error::Rejected(problem)) if problem.kind == Kind::Fork && !forked => (forked, cursor) = (true, 0),
                settled => done.push(settled?),
            }
            Point::BatchSettled.reached();
        }
    }

    async fn redeem_batch(&self, batch: &Signed<RedemptionBatch>) -> Result<Redeemed, Error> {
        let touchstones = self.store.read(|tx| redeeming::touchstones(tx, &batch.content))?;
        let message =
            |register| wire::encode(&Redeem { batch: batch.clone(), touchstones: touchstones.clone(), register });
        let bytes = match self.with_keys(BrokerOp::Redeem, self.register_if_unknown()?, message).await {
            Ok(bytes) => bytes,
            Err(CallError::Problem(problem)) => {
                let now_ms = (self.now_ms)();
                self.store.write(|tx| redeeming::rejected(tx, &batch.content, &problem, now_ms))?;
                return Err(CallError::Problem(problem).into());
            }
            Err(error) => return Err(error.into()),
        };
        Point::StatementAnswered.reached();
        self.settle(batch, decode(&bytes)?).await
    }

    /// Takes the statement that answers the open batch, whichever way it came.
    pub(crate) async fn settle(
        &self,
        batch: &Signed<RedemptionBatch>,
        statement: Signed<Statement>,
    ) -> Result<Redeemed, Error> {
        let keys = self.keys().await?;
        let (lines, restored) = self
            .receive(keys, |keys| {
                let now_ms = (self.now_ms)();
                self.store.write(|tx| {
                    // A batch that credits nothing leaves nothing in the ledger, our keys included.
                    if statement.content.lines.iter().any(|line| line.credited.0 > 0) {
                        tx.put_slot(Slot::KnownToLedger, b"yes")?;
                    }
                    let seen = redeeming::incarnation_seen(tx)?;
                    let lines = redeeming::settle(tx, keys, &batch.content, &statement, now_ms)?;
                    Ok((lines, seen.is_some_and(|seen| seen < statement.content.incarnation)))
                })
            })
            .await
            .map_err(|error| match error {
                Either::Errand(error) => error,
                Either::NotBelieved(redeeming::NotBelieved::Store(error)) => error.into(),
                Either::NotBelieved(error) => Error::NotBelieved(error.to_string()),
            })?;
        Ok(Redeemed { statement: statement.content, lines, restored })
    }

    /// The account as the broker has it.
    pub async fn balance(&self) -> Result<AccountView, Error> {
        let (about, bytes) = self.ask(Question::Balance).await?;
        let view: AccountView = self.believed(&bytes, about).await?;
        if view.peer == self.me.peer() {
            Ok(view)
        } else {
            Err(Error::NotBelieved("the answer is about another account".into()))
        }
    }

    /// Asks a question; answers its digest and the bytes that came.
    pub(crate) async fn ask(&self, question: Question) -> Result<(Digest, Vec<u8>), Error> {
        let query = Query {
            broker: self.broker,
            peer: self.me.peer(),
            valid_until_ms: (self.now_ms)().saturating_add(QUESTION_LIFE_MS),
            min_position: self.store.read(|tx| redeeming::position_seen(tx, self.broker))?,
            question,
        };
        let about = query.digest();
        let query = Signed::new(query, &self.me.signing);
        let message = |register| wire::encode(&Ask { query: query.clone(), register });
        Ok((about, self.with_keys(question.op(), self.register_if_unknown()?, message).await?))
    }

    /// What a signed answer says, if it is the pinned broker's and about this.
    pub(crate) async fn believed<T>(&self, bytes: &[u8], about: Digest) -> Result<T, Error>
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        self.believed_at(bytes, about).await.map(|(_, said)| said)
    }

    /// The same, with the broker's time.
    async fn believed_at<T>(&self, bytes: &[u8], about: Digest) -> Result<(u64, T), Error>
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let answer: Signed<Answer> = decode(bytes)?;
        let keys = self.keys().await?;
        if verify_answer(&answer, &keys).is_none() {
            // A key that is newer than our list.
            self.refresh_lists().await?;
        }
        let keys = self.keys().await?;
        let answer = verify_answer(&answer, &keys)
            .filter(|answer| answer.broker == self.broker && answer.about == about)
            .ok_or_else(|| {
                Error::NotBelieved("the answer is not the pinned broker's, or to another question".into())
            })?;
        Ok((answer.issued_at_ms, decode(&answer.body)?))
    }

    /// The registration goes along until the broker answered a money command once.
    pub(crate) fn register_if_unknown(&self) -> Result<Option<Signed<Register>>, Error> {
        let known = self.store.read(|tx| tx.slot(Slot::KnownToLedger))?;
        Ok(match known {
            None => Some(self.me.register(self.broker)),
            Some(_) => None,
        })
    }

    /// Sends a message; once more with our keys if the broker knows nothing of us although it did: it may have been
    /// restored from a backup.
    pub(crate) async fn with_keys(
        &self,
        op: BrokerOp,
        register: Option<Signed<Register>>,
        message: impl Fn(Option<Signed<Register>>) -> Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let sent = register.is_some();
        match self.patiently(op, message(register)).await {
            Err(CallError::Problem(problem)) if problem.kind == Kind::NotFound && !sent => {
                self.patiently(op, message(Some(self.me.register(self.broker)))).await
            }
            answer => answer,
        }
    }

    /// Takes an answer; if it is not believed, once more with a fresh key list.
    async fn receive<T, E>(
        &self,
        keys: BrokerKeys,
        take: impl Fn(&BrokerKeys) -> Result<T, E>,
    ) -> Result<T, Either<E>> {
        let first = match take(&keys) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if self.refresh_lists().await.is_err() {
            return Err(Either::NotBelieved(first));
        }
        let keys = self.keys().await.map_err(Either::Errand)?;
        take(&keys).map_err(Either::NotBelieved)
    }

    async fn read<T>(&self, op: BrokerOp, message: Vec<u8>) -> Result<T, Error>
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        decode(&self.patiently(op, message).await?)
    }

    /// Sends the same bytes, a little later each time, while the broker is busy or silent.
    async fn patiently(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        patience::BROKER.ask(async || self.line.ask(op, message.clone()).await).await
    }
}

enum Either<E> {
    Errand(Error),
    NotBelieved(E),
}

/// What a signed answer says, if one of these keys could sign it.
pub(crate) fn verify_answer<'a>(answer: &'a Signed<Answer>, keys: &BrokerKeys) -> Option<&'a Answer> {
    let key = keys.find(answer.content.kid, Purpose::Statement, answer.content.issued_at_ms)?;
    answer.verify(&key).ok()
}

fn decode<T>(bytes: &[u8]) -> Result<T, Error>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    wire::decode(bytes).map_err(|error| Error::Call(CallError::Unreadable(error.to_string())))
}
