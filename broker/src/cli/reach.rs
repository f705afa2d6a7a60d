//! Reading: from the running broker if it answers, else from its directory.

use netpay_ledger::load;
use netpay_ledger::rows::Totals;
use netpay_protocol::admin::{Order, Page};

use crate::bus::Unreachable;
use crate::bus::admin::Operator;
use crate::config::Config;
use crate::ports::State;
use crate::ports::state::StateError;
use crate::store::Store;

/// Asks the running broker; a stopped one's directory is read as it stands, and that is said.
pub(super) async fn read<T>(
    config: &Config,
    order: &Order,
    from_disk: impl Fn(&dyn State) -> Result<Option<T>, StateError>,
) -> anyhow::Result<T>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    let why = match ask(config, order).await {
        Err(error) if error.is::<Unreachable>() => error,
        answered => return answered,
    };
    let store = Store::open_read_only(&config.ledger())?;
    let state: &dyn State = &store;
    let totals: Totals = load::totals(&state)?;
    eprintln!("note: {why}; read from {} at position {}", config.ledger().display(), totals.head.position);
    from_disk(&store)?.ok_or_else(|| super::NotFound("there is no such thing in the ledger".into()).into())
}

/// Collects all pages.
pub(super) async fn read_all<T>(
    config: &Config,
    order: impl Fn(Option<&T>) -> Order,
    from_disk: impl Fn(&dyn State, Option<&T>) -> Result<Page<T>, StateError>,
) -> anyhow::Result<Vec<T>>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    let mut items: Vec<T> = Vec::new();
    loop {
        let last = items.last();
        let page = read(config, &order(last), |state| from_disk(state, last).map(Some)).await?;
        let done = !page.more || page.items.is_empty();
        items.extend(page.items);
        if done {
            return Ok(items);
        }
    }
}

/// Orders something of the running broker.
pub(super) async fn ask<T>(config: &Config, order: &Order) -> anyhow::Result<T>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    Operator::connect(config).await?.order(order).await
}
