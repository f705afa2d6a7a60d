//! NATS subjects (DESIGN §7). The only place that spells them.
//!
//! The sender's token is what NATS permissions enforce; the payload's signature is what is believed.

use crate::ids::PeerId;

/// Open an account.
pub const REGISTER: &str = "netpay.v1.register";
/// The broker's key list is new.
pub const NOTICE_KEYS: &str = "netpay.v1.notice.keys";
/// The revocation list is new.
pub const NOTICE_REVOKED: &str = "netpay.v1.notice.revoked";

/// Peer → broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BrokerOp {
    /// Buy e-coins.
    Buy,
    /// One's own e-coins, as the broker has them: after a wallet was restored, or to see whether it is a stale copy.
    Restore,
    /// Redeem a batch.
    Redeem,
    /// One's own account.
    Balance,
    /// A statement by its batch's id.
    Statement,
    /// Have money paid out.
    Payout,
    /// The key list.
    Keys,
    /// The revocation list.
    Notices,
    /// Speak with other keys from now on.
    Rotate,
}

/// Peer → peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerOp {
    /// Ask the price.
    Quote,
    /// Pay.
    Pay,
    /// Fetch a chunk.
    Chunk,
    /// Ask for a receipt.
    Close,
    /// Ask for the broker's word on the payee's key.
    Certificate,
}

/// Peer → CIS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexOp {
    /// Offer content.
    Announce,
    /// Take an offer back.
    Withdraw,
    /// Find content.
    Search,
    /// Show the broker's word on one's own key, before offering content under it.
    Certify,
}

macro_rules! tokens {
    ($op:ty { $($variant:ident = $token:literal),+ $(,)? }) => {
        impl $op {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The subject's last token.
            pub fn token(self) -> &'static str {
                match self { $(Self::$variant => $token),+ }
            }
        }
    };
}

tokens!(BrokerOp { Buy = "buy", Restore = "restore", Redeem = "redeem", Balance = "balance", Statement = "statement", Payout = "payout", Keys = "keys", Notices = "notices", Rotate = "rotate" });
tokens!(PeerOp { Quote = "quote", Pay = "pay", Chunk = "chunk", Close = "close", Certificate = "certificate" });
tokens!(IndexOp { Announce = "announce", Withdraw = "withdraw", Search = "search", Certify = "certify" });

/// `netpay.v1.req.<peer>.<op>`
pub fn request(peer: PeerId, op: BrokerOp) -> String {
    format!("netpay.v1.req.{peer}.{}", op.token())
}

/// What a broker listens on for one operation, whoever sends.
pub fn any_request(op: BrokerOp) -> String {
    format!("netpay.v1.req.*.{}", op.token())
}

/// `netpay.v1.peer.<to>.<from>.<op>`
pub fn peer(to: PeerId, from: PeerId, op: PeerOp) -> String {
    format!("netpay.v1.peer.{to}.{from}.{}", op.token())
}

/// What a peer listens on, whoever sends.
pub fn any_peer(to: PeerId) -> String {
    format!("netpay.v1.peer.{to}.*.*")
}

/// `netpay.v1.index.<peer>.<op>`
pub fn index(peer: PeerId, op: IndexOp) -> String {
    format!("netpay.v1.index.{peer}.{}", op.token())
}

/// What a CIS listens on for one operation, whoever sends.
pub fn any_index(op: IndexOp) -> String {
    format!("netpay.v1.index.*.{}", op.token())
}

/// `netpay.v1.admin.<op>`
pub fn admin(op: &str) -> String {
    format!("netpay.v1.admin.{op}")
}

/// `netpay.v1.inbox.<peer>.redeem`: a batch that is left for the broker, through JetStream.
pub fn inbox(peer: PeerId) -> String {
    format!("netpay.v1.inbox.{peer}.{}", BrokerOp::Redeem.token())
}

/// What the inbox takes, whoever sends.
pub fn any_inbox() -> String {
    format!("netpay.v1.inbox.*.{}", BrokerOp::Redeem.token())
}

/// `netpay.v1.aside.<peer>.redeem`: what the broker set aside out of the inbox, for its operators. `nobody` sent what came
/// on a subject that names no peer.
pub fn aside(peer: Option<PeerId>) -> String {
    let sender = peer.map_or_else(|| "nobody".into(), |peer| peer.to_string());
    format!("netpay.v1.aside.{sender}.{}", BrokerOp::Redeem.token())
}

/// Everything that was set aside.
pub fn any_aside() -> String {
    format!("netpay.v1.aside.*.{}", BrokerOp::Redeem.token())
}

/// `netpay.v1.events.<kind>`: what the broker recorded, for its operators.
pub fn event(kind: &str) -> String {
    format!("netpay.v1.events.{kind}")
}

/// Every event.
pub fn any_event() -> String {
    event("*")
}

/// The sender's token of a message to broker or CIS: `netpay.v1.<req|inbox|index>.<peer>.<op>`.
pub fn sender(subject: &str) -> Option<PeerId> {
    subject.split('.').nth(3)?.parse().ok()
}

/// Sender and operation of a request between peers: `netpay.v1.peer.<to>.<from>.<op>`.
pub fn peer_sender(subject: &str) -> Option<(PeerId, PeerOp)> {
    let mut tokens = subject.split('.').skip(4);
    let from = tokens.next()?.parse().ok()?;
    let op = tokens.next()?;
    let op = PeerOp::ALL.iter().copied().find(|known| known.token() == op)?;
    tokens.next().is_none().then_some((from, op))
}
