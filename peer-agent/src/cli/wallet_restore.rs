//! `netpay wallet restore`: locks what a wallet from a backup may have spent since.

use serde_json::json;

use super::failure::Failure;
use super::session::Session;
use crate::errands;
use crate::wallet::locking::{self, Locked};

/// Lock every e-coin bought up to now, after this home was made from a backup. The broker refunds them after their time.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A wallet from a backup cannot know what it granted since, so nothing old is ever granted again: e-coins bought\nup to the broker's present time are locked, pending purchases dropped, orders ended, and the till takes e-coins\nissued from now on only. What the till holds can be redeemed as ever. Needs the broker."
)]
pub struct Restore {
    /// Lock a wallet that was not made from a backup, too.
    #[arg(long)]
    yes: bool,
}

impl Restore {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        if !self.yes && !session.store.read(|tx| locking::must_lock(tx))? {
            // A copy that was put back by hand bears no mark: what the broker paid tells, if it can be asked.
            if let Ok(net) = session.connect().await
                && let Err(error @ errands::Error::StaleCopy(_)) = session.errands(&net).check_copy().await
            {
                return Err(error.into());
            }
            return Err(Failure::new(
                2,
                "this home was not made from a backup, and this would lock all its e-coins until they are refunded; if that is what you want: netpay wallet restore --yes",
            ));
        }
        run(session).await
    }
}

async fn run(session: &Session) -> Result<(), Failure> {
    let locked = lock(session).await?;
    let object = json!({
        "locked_through_ms": locked.through_ms,
        "locked_ecoins": locked.ecoins,
        "locked_units": locked.units.0,
        "wordless_ecoins": locked.wordless,
    });
    session.print(&object, || text(&locked));
    Ok(())
}

/// Asks the broker, and locks.
pub async fn lock(session: &Session) -> Result<Locked, Failure> {
    let net = session.connect().await?;
    session.greet_broker(&net).await?;
    Ok(session.errands(&net).lock_wallet().await?)
}

/// What a person hears of it.
pub fn text(locked: &Locked) -> String {
    format!(
        "locked {} e-coins with up to {} units, and {} that only the broker knows; they are refunded after their time (netpay wallet show)",
        locked.ecoins, locked.units, locked.wordless
    )
}
