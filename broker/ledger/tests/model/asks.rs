//! What is asked of both ledgers, what they answer, and what they are compared by: plain numbers, known to neither's code.

/// A peer's number, from 1; or [`OPERATOR`].
pub type Peer = usize;
pub const OPERATOR: Peer = 0;
pub const DAY_MS: u64 = 86_400_000;
/// How long before its record an e-coin may have been made.
pub const PREPARED_MS: u64 = 60_000;

/// The first of these that holds.
pub fn refuse_if(reasons: &[(bool, &'static str)]) -> Result<(), &'static str> {
    reasons.iter().find(|(holds, _)| *holds).map_or(Ok(()), |(_, why)| Err(why))
}

/// Made once for each signed message: `bytes` tells one message from another under the same id.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    pub signer: Peer,
    pub id: u64,
    pub bytes: u64,
    /// Batches are good for ever.
    pub valid_until_ms: Option<u64>,
    /// A peer's key, and whether its registration comes along.
    pub speaker: Option<(usize, bool)>,
}

#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_ms: u64,
    pub drained_ms: u64,
    pub clock_trusted: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    Deposit {
        peer: Peer,
        amount: u64,
        reference: u64,
    },
    Suspend {
        peer: Peer,
        suspend: bool,
    },
    Buy {
        payer: Peer,
        coins: Vec<Coin>,
        most: u64,
    },
    Redeem {
        payee: Peer,
        claims: Vec<Claim>,
    },
    /// By its name.
    SettleDebt((Peer, Peer, u64)),
    RequestPayout {
        peer: Peer,
        id: u64,
        amount: u64,
    },
    EndPayout {
        peer: Peer,
        id: u64,
        paid: bool,
    },
    RotateKey {
        peer: Peer,
        new: usize,
    },
    /// The broker's, by the list's life and number.
    ListKeys((u64, u64)),
    Expire(Vec<u64>),
    BringBack(Vec<Coin>),
    Reconcile,
    DoubtClock,
    ConfirmClock,
}

impl Ask {
    /// What it is counted as.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deposit { .. } => "deposit",
            Self::Suspend { suspend: true, .. } => "suspend",
            Self::Suspend { suspend: false, .. } => "reinstate",
            Self::Buy { .. } => "buy",
            Self::Redeem { .. } => "redeem",
            Self::SettleDebt(_) => "settle debt",
            Self::RequestPayout { .. } => "request payout",
            Self::EndPayout { paid: true, .. } => "settle payout",
            Self::EndPayout { paid: false, .. } => "fail payout",
            Self::RotateKey { .. } => "rotate key",
            Self::ListKeys(_) => "list keys",
            Self::Expire(_) => "expire",
            Self::BringBack(_) => "bring back",
            Self::Reconcile => "reconcile",
            Self::DoubtClock => "doubt clock",
            Self::ConfirmClock => "confirm clock",
        }
    }

    /// What the broker does without being asked.
    pub fn by_itself(&self) -> bool {
        matches!(self, Self::ListKeys(_) | Self::Expire(_) | Self::BringBack(_) | Self::DoubtClock)
    }
}

/// The words `from..=through` under the grant `from..to` to `payee`.
#[derive(Clone, PartialEq, Debug)]
pub struct Claim {
    pub coin: u64,
    pub payee: Peer,
    pub from: usize,
    pub to: usize,
    pub through: usize,
    /// What was done to it: signed by another than the e-coin's payer, or with the word of another place.
    pub tampered: Option<Tampered>,
    /// What its check says, which knows signatures and hashes but no ledger.
    pub refused: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tampered {
    Signature,
    Word,
}

impl Claim {
    pub fn grant(&self) -> (usize, usize) {
        (self.from, self.to)
    }
}

/// What is answered to one claim, and how many of its words are new, were this payee's, and were others'.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Line {
    pub verdict: &'static str,
    pub new: usize,
    pub again: usize,
    pub others: usize,
}

impl Line {
    pub fn refused(verdict: &'static str) -> Self {
        Self { verdict, new: 0, again: 0, others: 0 }
    }

    pub fn settled(new: usize, again: usize, others: usize) -> Self {
        let verdict = match (new, others) {
            (0, 0) => "already_paid",
            (_, 0) => "credited",
            _ => "conflicting",
        };
        Self { verdict, new, again, others }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Done, as the next record.
    Recorded(Vec<Line>),
    /// Done before, by this record.
    Repeated(u64),
    /// There was nothing to do.
    Unchanged(Vec<Line>),
    /// By name.
    Rejected(&'static str),
}

impl Answer {
    pub fn new(changed: bool, lines: Vec<Line>) -> Self {
        if changed { Self::Recorded(lines) } else { Self::Unchanged(lines) }
    }

    /// What it is counted as.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Recorded(_) => "recorded",
            Self::Repeated(_) => "repeated",
            Self::Unchanged(_) => "unchanged",
            Self::Rejected(why) => why,
        }
    }
}

#[derive(Clone, Default, PartialEq, Debug)]
pub struct Account {
    /// Money was posted to it, be it none.
    pub funded: bool,
    pub opened: bool,
    pub balance: u64,
    pub suspended: bool,
    pub key: usize,
    pub former: Vec<usize>,
}

impl Account {
    pub fn known(&self) -> bool {
        self.funded || self.opened
    }
}

/// An e-coin as sold, and what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Coin {
    pub id: u64,
    pub payer: Peer,
    /// Which of its payer's keys grants.
    pub key: usize,
    pub unit: u32,
    pub bound: Option<Peer>,
    pub issued_ms: u64,
    pub redeem_until_ms: u64,
    pub life: u64,
    /// One entry for every word.
    pub words: Vec<Option<Paid>>,
    pub refunded: bool,
}

impl Coin {
    pub fn worth(&self, words: usize) -> u64 {
        u64::from(self.unit) * u64::try_from(words).expect("few")
    }

    /// What the words that nobody was paid are worth.
    pub fn left(&self) -> u64 {
        self.worth(self.words.iter().filter(|word| word.is_none()).count())
    }
}

/// Who was paid a word, by which record, under which grant (its `from` and `to`), in the run that begins where.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Paid {
    pub payee: Peer,
    pub record: u64,
    pub grant: (usize, usize),
    pub first: usize,
}

/// Named by debtor, creditor and e-coin.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Debt {
    pub name: (Peer, Peer, u64),
    pub open: u64,
}

/// `paid` is there once it has ended.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Payout {
    pub peer: Peer,
    pub id: u64,
    pub amount: u64,
    pub paid: Option<bool>,
}

/// A double spend, with its evidence: the grant of the lowest run in conflict, and the grant of who came second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Found {
    pub coin: u64,
    pub paid_to: Peer,
    pub paid_grant: (usize, usize),
    pub payee: Peer,
    pub grant: (usize, usize),
}
