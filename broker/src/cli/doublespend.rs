//! `netpay-broker doublespend list`

use clap::Subcommand;
use netpay_protocol::admin::{DoubleSpendView, Order};
use serde_json::json;

use super::{Said, Where, reach, views};
use crate::actors::views as stored;

#[derive(Subcommand, Debug)]
pub(super) enum Doublespend {
    /// Every recorded double spend, with both grants.
    List(Where),
}

impl Doublespend {
    pub(super) async fn run(self) -> anyhow::Result<Said> {
        let Self::List(at) = self;
        let order = |last: Option<&DoubleSpendView>| Order::ListDoubleSpends { after: last.map(|view| view.key) };
        let found = reach::read_all(&at.load()?, order, |state, last: Option<&DoubleSpendView>| {
            stored::double_spends(state, last.map(|view| view.key))
        })
        .await?;
        let text: Vec<_> = found.iter().map(views::double_spend_text).collect();
        let json: Vec<_> = found.iter().map(views::double_spend).collect();
        Ok(Said::new(json!({ "double_spends": json }), format!("{} double spends\n{}", found.len(), text.join("\n"))))
    }
}
