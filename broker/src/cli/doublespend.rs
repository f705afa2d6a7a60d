//! `netpay-broker doublespend list | export | verify`

use clap::Subcommand;
use netpay_protocol::admin::{DoubleSpendView, Order};
use serde_json::json;

use super::{Said, Where, evidence, reach, views};
use crate::actors::views as stored;

#[derive(Subcommand, Debug)]
pub(super) enum Doublespend {
    /// Every recorded double spend, with both grants.
    List(Where),
    /// Write the evidence of a double spend for a stranger, who needs nothing but the broker's id to check it.
    Export(evidence::Export),
    /// Check evidence off-line, with nothing but the broker's id: no ledger, no configuration.
    Verify(evidence::Verify),
}

impl Doublespend {
    pub(super) async fn run(self) -> anyhow::Result<Option<Said>> {
        match self {
            Self::List(at) => list(&at).await.map(Some),
            Self::Export(command) => command.run(),
            Self::Verify(command) => command.run().map(Some),
        }
    }
}

async fn list(at: &Where) -> anyhow::Result<Said> {
    let order = |last: Option<&DoubleSpendView>| Order::ListDoubleSpends { after: last.map(|view| view.key) };
    let found = reach::read_all(&at.load()?, order, |state, last: Option<&DoubleSpendView>| {
        stored::double_spends(state, last.map(|view| view.key))
    })
    .await?;
    let text: Vec<_> = found.iter().map(views::double_spend_text).collect();
    let json: Vec<_> = found.iter().map(views::double_spend).collect();
    Ok(Said::new(json!({ "double_spends": json }), format!("{} double spends\n{}", found.len(), text.join("\n"))))
}
