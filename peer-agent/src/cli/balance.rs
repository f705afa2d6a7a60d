//! `netpay balance`: what the broker owes, what the wallet and the till hold.

use netpay_protocol::amounts::Units;
use serde_json::json;

use super::failure::Failure;
use super::session::{Session, now_ms};
use super::time::rfc3339;
use super::wallet;
use crate::wallet::broker_lists;

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
        let lists = session.store.read(|tx| broker_lists::ages(tx, session.home.config.broker, now_ms()))?;
        let suspended = view.suspended_at_ms.is_some();
        let object = json!({
            "peer": view.peer.to_string(),
            "balance_units": view.balance.0,
            "debt_units": view.debt.0,
            "suspended": suspended,
            "wallet_units": totals.wallet.0,
            "till_units": totals.till.0,
            "key_list_next_at_ms": lists.keys_next_at_ms,
            "revocation_list_age_ms": lists.revoked_age_ms,
        });
        session.print(&object, || {
            let mut text = format!(
                "at the broker  {:>10} units\nin the wallet  {:>10} units\nin the till    {:>10} units, to be redeemed\n",
                view.balance, totals.wallet, totals.till
            );
            if let Some(age_ms) = lists.revoked_age_ms {
                text += &format!("the revocation list is {} min old\n", age_ms / 60_000);
            }
            if let Some(next_at_ms) = lists.keys_next_at_ms {
                text += &format!("the key list is good until {}\n", rfc3339(next_at_ms));
            }
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
