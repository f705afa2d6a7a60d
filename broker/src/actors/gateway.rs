//! The gate: cheap checks first, before anything costs a signature or a hash. Decodes, bounds, routes.

use netpay_protocol::ids::PeerId;
use netpay_protocol::limits::{MAX_STEPS_PER_BATCH, MAX_TOUCHSTONES_PER_BATCH};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::wire;

use super::refusals::busy;
use super::runtime::{Address, Full, Handler};
use super::verify::{Job, Work};
use crate::ports::Reply;

/// A request as it came off the bus.
pub struct Incoming {
    /// What is asked, by the subject.
    pub op: Op,
    /// The message.
    pub payload: Vec<u8>,
    /// The way back.
    pub reply: Reply,
}

/// What a subject asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// `register`
    Register,
    /// `req.<peer>.<op>`, with the sender's token (none: it was no peer's id).
    Peer(Option<PeerId>, BrokerOp),
    /// `admin.<op>`
    Admin(String),
}

/// See the module.
pub struct GatewayActor {
    /// Where checking goes on.
    pub verify: Address<Job>,
}

impl Handler for GatewayActor {
    type Message = Incoming;

    fn handle(&mut self, incoming: Incoming, _: usize) {
        let Incoming { op, payload, reply } = incoming;
        match route(op, &payload) {
            Ok(work) => {
                if let Err(Full(job)) = self.verify.try_send(Job { work, reply }) {
                    job.reply.problem(busy());
                }
            }
            Err(problem) => reply.problem(problem),
        }
    }
}

fn route(op: Op, payload: &[u8]) -> Result<Work, Problem> {
    match op {
        Op::Register => Ok(Work::Register(wire::decode(payload)?)),
        Op::Admin(op) => Ok(Work::Admin(op, wire::decode(payload)?)),
        Op::Peer(None, _) => Err(Problem::new(Kind::NotForMe, "the subject does not name the peer that asks")),
        Op::Peer(Some(sender), op) => peer_work(sender, op, payload),
    }
}

fn peer_work(sender: PeerId, op: BrokerOp, payload: &[u8]) -> Result<Work, Problem> {
    let (work, signer) = match op {
        BrokerOp::Buy => {
            let buy: netpay_protocol::messages::Buy = wire::decode(payload)?;
            let signer = buy.buy.content.payer;
            (Work::Buy(Box::new(buy)), signer)
        }
        BrokerOp::Redeem => {
            let redeem: netpay_protocol::messages::Redeem = wire::decode(payload)?;
            let batch = &redeem.batch.content;
            if batch.claims.is_empty() {
                return Err(Problem::new(Kind::Malformed, "a batch has at least one claim"));
            }
            if u32::try_from(redeem.touchstones.len()).is_ok_and(|count| count > MAX_TOUCHSTONES_PER_BATCH) {
                let text = format!("a batch brings {MAX_TOUCHSTONES_PER_BATCH} touchstones at most; split it");
                return Err(Problem::new(Kind::TooLarge, text));
            }
            if batch.steps() > MAX_STEPS_PER_BATCH {
                let text = format!(
                    "the batch asks for {} hash steps, the most is {MAX_STEPS_PER_BATCH}; split it",
                    batch.steps()
                );
                return Err(Problem::new(Kind::TooLarge, text));
            }
            let signer = batch.payee;
            (Work::Redeem(Box::new(redeem)), signer)
        }
        BrokerOp::Balance | BrokerOp::Statement | BrokerOp::Restore => {
            let ask: netpay_protocol::messages::Ask = wire::decode(payload)?;
            if ask.query.content.question.op() != op {
                return Err(Problem::new(Kind::NotForMe, "the question is another than its subject says"));
            }
            let signer = ask.query.content.peer;
            (Work::Ask(Box::new(ask)), signer)
        }
        BrokerOp::Payout => {
            let withdrawal: netpay_protocol::messages::Withdrawal = wire::decode(payload)?;
            let signer = withdrawal.payout.content.peer;
            (Work::Payout(Box::new(withdrawal)), signer)
        }
        BrokerOp::Rotate => {
            let rotate: netpay_protocol::messages::Rotate = wire::decode(payload)?;
            let signer = rotate.order.content.peer;
            (Work::Rotate(Box::new(rotate)), signer)
        }
        BrokerOp::Keys => (Work::Keys, sender),
        BrokerOp::Notices => (Work::Notices, sender),
    };
    if signer == sender {
        Ok(work)
    } else {
        Err(Problem::new(Kind::NotForMe, "the subject names another peer than the one that signed"))
    }
}
