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
    /// Pay a double spender's debt from its balance, once its last e-coin can no longer be redeemed; or what the operator
    /// lent to an e-coin that a restored backup did not know, at once.
    #[command(after_help = "\
`netpay-broker ledger explain DEBTOR` names the debts, with creditor and e-coin.

Examples:
  netpay-broker account settle-debt 6f…c2 91…0d 4e…21 --config broker
  netpay-broker account settle-debt 6f…c2 operator 4e…21 --config broker")]
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
    /// Who lost by it: a peer's id, or `operator`.
    #[arg(value_parser = creditor)]
    creditor: PeerId,
    /// On which e-coin.
    ecoin: EcoinId,
    #[command(flatten)]
    at: Where,
}

fn creditor(text: &str) -> Result<PeerId, String> {
    let id = || text.parse().map_err(|error| format!("{error}; or the word operator"));
    if text == "operator" { Ok(PeerId::OPERATOR) } else { id() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_owed_to_a_peer_or_to_the_operator() {
        assert_eq!(creditor("operator"), Ok(PeerId::OPERATOR));
        assert_eq!(creditor(&PeerId([7; 16]).to_string()), Ok(PeerId([7; 16])));
        assert!(creditor("the operator").is_err_and(|why| why.ends_with("or the word operator")));
    }
}
