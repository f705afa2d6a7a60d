//! `netpay balance`: what the broker owes, what the wallet and the till hold.

use netpay_protocol::amounts::Units;
use serde_json::json;

use super::failure::Failure;
use super::session::Session;
use super::wallet;

/// Show the account at the broker, and what wallet and till are worth.
#[derive(clap::Args, Debug)]
pub struct Balance {}

impl Balance {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let net = session.connect().await?;
        session.greet_broker(&net).await?;
        let view = session.errands(&net).balance().await?;
        let totals = wallet::totals(session)?;
        let suspended = view.suspended_at_ms.is_some();
        let object = json!({
            "peer": view.peer.to_string(),
            "balance_units": view.balance.0,
            "debt_units": view.debt.0,
            "suspended": suspended,
            "wallet_units": totals.wallet.0,
            "till_units": totals.till.0,
        });
        session.print(&object, || {
            let mut text = format!(
                "at the broker  {:>10} units\nin the wallet  {:>10} units\nin the till    {:>10} units, to be redeemed\n",
                view.balance, totals.wallet, totals.till
            );
            if view.debt > Units::ZERO {
                text += &format!("owed           {:>10} units, for a double spend\n", view.debt);
            }
            if suspended {
                text += "the account is suspended\n";
            }
            text
        });
        Ok(())
    }
}
