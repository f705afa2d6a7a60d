//! `netpay-broker payout …`: what peers want to have paid outside, and what became of it.

use clap::{Args, Subcommand};
use netpay_protocol::admin::Order;
use netpay_protocol::ids::{PeerId, RequestId};
use netpay_protocol::payout::{PayoutKey, PayoutState, PayoutView};
use serde_json::json;

use super::{Said, Where, reach, views};
use crate::actors::views as stored;

#[derive(Subcommand, Debug)]
pub(super) enum Payout {
    /// Every payout, in order of peer and request. Its money is off the account already.
    #[command(after_help = "\
Examples:
  netpay-broker payout list --open --config broker          what is still to be paid
  netpay-broker --json payout list --config broker          for programs")]
    List(List),
    /// Record that a payout was paid outside. Final: pay first, then settle.
    #[command(after_help = "\
Example:
  netpay-broker payout settle 6f…c2 91…0d --reference 'bank transfer 4711' --config broker")]
    Settle(Settle),
    /// Record that a payout cannot be paid: the money goes back to the account. Final.
    #[command(after_help = "\
Example:
  netpay-broker payout fail 6f…c2 91…0d --reason 'no such bank account' --config broker")]
    Fail(Fail),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Only those neither settled nor failed.
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    at: Where,
}

/// Which payout.
#[derive(Args, Debug)]
struct Which {
    /// The peer's id.
    peer: PeerId,
    /// The payout's request id.
    request: RequestId,
}

#[derive(Args, Debug)]
pub(super) struct Settle {
    #[command(flatten)]
    which: Which,
    /// The payment's name outside, such as a bank's transaction number; the peer sees it.
    #[arg(long)]
    reference: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Fail {
    #[command(flatten)]
    which: Which,
    /// Why; the peer sees it.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    at: Where,
}

impl Which {
    fn key(&self) -> PayoutKey {
        PayoutKey { peer: self.peer, request: self.request }
    }
}

impl Payout {
    pub(super) async fn run(self) -> anyhow::Result<Said> {
        match self {
            Self::List(List { open, at }) => list(&at, open).await,
            Self::Settle(Settle { which, reference, at }) => {
                change(&at, &Order::SettlePayout { payout: which.key(), reference }).await
            }
            Self::Fail(Fail { which, reason, at }) => {
                change(&at, &Order::FailPayout { payout: which.key(), reason }).await
            }
        }
    }
}

async fn change(at: &Where, order: &Order) -> anyhow::Result<Said> {
    let view: PayoutView = reach::ask(&at.load()?, order).await?;
    Ok(Said::new(views::payout(&view), views::payout_text(&view)))
}

fn key(view: &PayoutView) -> PayoutKey {
    PayoutKey { peer: view.peer, request: view.request }
}

async fn list(at: &Where, open: bool) -> anyhow::Result<Said> {
    let order = |last: Option<&PayoutView>| Order::ListPayouts { after: last.map(key) };
    let mut payouts =
        reach::read_all(&at.load()?, order, |state, last: Option<&PayoutView>| stored::payouts(state, last.map(key)))
            .await?;
    payouts.retain(|view| !open || view.state == PayoutState::Requested);
    let text: Vec<_> = payouts.iter().map(views::payout_text).collect();
    let json: Vec<_> = payouts.iter().map(views::payout).collect();
    Ok(Said::new(json!({ "payouts": json }), format!("{} payouts\n{}", payouts.len(), text.join("\n"))))
}
