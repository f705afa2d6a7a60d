//! `netpay buy`: buys e-coins, and finishes purchases whose answer was lost.

use netpay_protocol::amounts::{PaywordIndex, UnitValue};
use netpay_protocol::ids::PeerId;
use netpay_protocol::limits::{DEFAULT_CHAIN_LENGTH, MAX_CHAIN_LENGTH, MAX_CHAINS_PER_PURCHASE};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::home::identity::new_request;
use crate::wallet::buying::{Bought, Wish};

/// Buy e-coins from the broker. A purchase whose answer is lost is finished by the next command, and debited once.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  netpay buy                       one chain of 256 words of 1 unit\n  netpay buy --n 50 --suite md5    the paper's\n  netpay buy --resume              only finish what is pending"
)]
pub struct Buy {
    /// Words in each chain.
    #[arg(long, default_value_t = DEFAULT_CHAIN_LENGTH, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHAIN_LENGTH)))]
    n: u32,
    /// How many chains.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CHAINS_PER_PURCHASE)))]
    count: u32,
    /// The hash suite: sha256, or md5 (the paper's).
    #[arg(long, default_value = "sha256")]
    suite: Suite,
    /// What one word is worth, in units.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    unit_value: u32,
    /// Words that only this peer can be paid with.
    #[arg(long, value_name = "PEER")]
    bound_to: Option<PeerId>,
    /// The most that this may cost.
    #[arg(long, value_name = "UNITS")]
    max_units: Option<u64>,
    /// Buy nothing new: ask once more about every purchase that brought nothing, also refused ones.
    #[arg(long)]
    resume: bool,
}

impl Buy {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let cost = u64::from(self.n).saturating_mul(u64::from(self.count)).saturating_mul(u64::from(self.unit_value));
        if !self.resume && self.max_units.is_some_and(|most| cost > most) {
            return Err(Failure::new(4, format!("this costs {cost} units, more than --max-units")));
        }
        let net = session.connect().await?;
        if self.resume {
            let results = session.errands(&net).retry_purchases().await?;
            let mut all = Vec::new();
            for result in results {
                match result {
                    Ok(bought) => all.push(bought),
                    Err(error) => eprintln!("netpay: a purchase that brought nothing: {error}"),
                }
            }
            self.show(session, &all);
            return Ok(());
        }
        session.greet_broker(&net).await?;
        session.errands(&net).check_copy_in_passing().await?;
        let wish = Wish {
            count: self.count,
            n: PaywordIndex(self.n),
            suite: self.suite,
            unit_value: UnitValue(self.unit_value),
            guarantee: self.bound_to.map_or(Guarantee::Bearer, Guarantee::Bound),
        };
        let bought = session.errands(&net).buy(wish, new_request()).await?;
        self.show(session, &[bought]);
        Ok(())
    }

    fn show(&self, session: &Session, all: &[Bought]) {
        let ecoins: Vec<&Touchstone> = all.iter().flat_map(|bought| &bought.ecoins).collect();
        let debited: u64 = all.iter().map(|bought| bought.debited.0).sum();
        let objects: Vec<Value> = ecoins.iter().map(|t| ecoin(t)).collect();
        let object = json!({ "ecoins": objects, "debited_units": debited });
        session.print(&object, || {
            let mut text = format!("bought {} e-coins for {debited} units\n", ecoins.len());
            for t in ecoins {
                text += &format!("  {}  {}  n {}  {} units\n", t.ecoin, t.suite, t.n, t.worth());
            }
            text
        });
    }
}

fn ecoin(t: &Touchstone) -> Value {
    json!({
        "ecoin": t.ecoin.to_string(),
        "suite": t.suite.to_string(),
        "n": t.n.0,
        "unit_value": t.unit_value.0,
        "worth_units": t.worth().0,
        "spend_until_ms": t.spend_until_ms,
        "redeem_until_ms": t.redeem_until_ms,
        "bound_to": match t.guarantee {
            Guarantee::Bearer => None,
            Guarantee::Bound(peer) => Some(peer.to_string()),
        },
    })
}
