//! `netpay-broker ecoin show`

use clap::{Args, Subcommand};
use netpay_protocol::admin::Order;
use netpay_protocol::ids::EcoinId;

use super::{Said, Where, reach, views};
use crate::actors::views as stored;

#[derive(Subcommand, Debug)]
pub(super) enum Ecoin {
    /// One e-coin: whose it is, and what was paid of it to whom.
    Show(Show),
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The e-coin's id.
    ecoin: EcoinId,
    #[command(flatten)]
    at: Where,
}

impl Ecoin {
    pub(super) async fn run(self) -> anyhow::Result<Said> {
        let Self::Show(Show { ecoin, at }) = self;
        let from_disk = |state: &dyn crate::ports::State| stored::ecoin(state, ecoin);
        let view = reach::read(&at.load()?, &Order::ShowEcoin { ecoin }, from_disk).await?;
        Ok(Said::new(views::ecoin(&view), views::ecoin_text(&view)))
    }
}
