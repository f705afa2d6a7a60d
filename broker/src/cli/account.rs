//! `netpay-broker account …`

use clap::{Args, Subcommand};
use netpay_protocol::admin::{AccountView, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{EcoinId, PeerId};
use serde_json::json;

use super::{Said, Where, reach, views};
use crate::actors::views as stored;

#[derive(Subcommand, Debug)]
pub(super) enum Account {
    /// Every account, in order of id.
    List(Where),
    /// One account.
    Show(Show),
    /// Record a deposit. The same reference is credited once, however often this is repeated.
    Credit(Credit),
    /// Suspend an account: it may redeem, but not buy, and payees stop accepting from it.
    Suspend(Because),
    /// Lift a suspension (not while the account owes for a double spend).
    Reinstate(Because),
    /// Pay a double spender's debt from its balance, once its last e-coin can no longer be redeemed.
    SettleDebt(SettleDebt),
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The peer's id.
    peer: PeerId,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Credit {
    /// The peer's id.
    peer: PeerId,
    /// How many units.
    units: u64,
    /// The deposit's name outside, such as a bank's transaction number.
    #[arg(long)]
    reference: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Because {
    /// The peer's id.
    peer: PeerId,
    /// Why; kept in the ledger.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct SettleDebt {
    /// Who double spent.
    debtor: PeerId,
    /// Who lost by it.
    creditor: PeerId,
    /// On which e-coin.
    ecoin: EcoinId,
    #[command(flatten)]
    at: Where,
}

impl Account {
    pub(super) async fn run(self) -> anyhow::Result<Said> {
        match self {
            Self::List(at) => list(&at).await,
            Self::Show(Show { peer, at }) => {
                let from_disk = |state: &dyn crate::ports::State| stored::account(state, peer);
                let view = reach::read(&at.load()?, &Order::ShowAccount { peer }, from_disk).await?;
                Ok(one(&view))
            }
            Self::Credit(Credit { peer, units, reference, at }) => {
                change(&at, &Order::Credit { peer, amount: Units(units), reference }).await
            }
            Self::Suspend(Because { peer, reason, at }) => change(&at, &Order::Suspend { peer, reason }).await,
            Self::Reinstate(Because { peer, reason, at }) => change(&at, &Order::Reinstate { peer, reason }).await,
            Self::SettleDebt(SettleDebt { debtor, creditor, ecoin, at }) => {
                change(&at, &Order::SettleDebt { debtor, creditor, ecoin }).await
            }
        }
    }
}

fn one(view: &AccountView) -> Said {
    Said::new(views::account(view), views::account_text(view))
}

async fn change(at: &Where, order: &Order) -> anyhow::Result<Said> {
    reach::ask(&at.load()?, order).await.map(|view| one(&view))
}

async fn list(at: &Where) -> anyhow::Result<Said> {
    let order = |last: Option<&AccountView>| Order::ListAccounts { after: last.map(|view| view.peer) };
    let accounts = reach::read_all(&at.load()?, order, |state, last: Option<&AccountView>| {
        stored::accounts(state, last.map(|view| view.peer))
    })
    .await?;
    let text: Vec<_> = accounts.iter().map(views::account_text).collect();
    let json: Vec<_> = accounts.iter().map(views::account).collect();
    Ok(Said::new(json!({ "accounts": json }), format!("{} accounts\n{}", accounts.len(), text.join("\n"))))
}
