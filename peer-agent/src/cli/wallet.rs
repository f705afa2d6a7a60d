//! `netpay wallet show`: the e-wallet and the till, as in the paper's Figures 4 to 9.

use std::collections::BTreeMap;
use std::path::Path;

use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::runs::{self, Run};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Touchstone;
use serde_json::{Value, json};

use super::failure::Failure;
use super::passphrase::Source;
use super::session::{Session, field};
use super::wallet_backup::Backups;
use super::{wallet_passphrase, wallet_restore, wallet_rotate};
use crate::ports::{Coins as _, Locking as _, StoreError, Stored, Till as _, TillClaim, TillEcoin};
use crate::store::{Store, Tx};
use crate::till::{accepting, redeeming};
use crate::wallet::purse::Chain;

/// The wallet and the till.
#[derive(clap::Args, Debug)]
pub struct Wallet {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Show e-coins with their next index, and what the till holds.
    Show {
        /// Show the words, too. They are money: whoever reads them can spend or redeem them.
        #[arg(long)]
        words: bool,
    },
    Restore(wallet_restore::Restore),
    Rotate(wallet_rotate::Rotate),
    Passphrase(wallet_passphrase::SetPassphrase),
    /// Make, look through, and restore backups.
    #[command(subcommand)]
    Backup(Backups),
}

/// What wallet and till are worth.
pub struct Totals {
    /// Words that may still be paid out.
    pub wallet: Units,
    /// Words accepted and not settled.
    pub till: Units,
}

fn add(sum: Units, units: Units) -> Units {
    sum.checked_add(units).unwrap_or(sum)
}

/// Sums up.
pub fn totals(session: &Session) -> Result<Totals, Failure> {
    Ok(totals_of(&session.store)?)
}

/// Sums up a wallet.
pub fn totals_of(store: &Store) -> Stored<Totals> {
    let (chains, claims) = store.read(read)?;
    let wallet = chains
        .iter()
        .filter(|chain| !chain.ecoin.locked)
        .map(|chain| chain.unspent().worth(chain.ecoin.touchstone.content.unit_value))
        .fold(Units::ZERO, add);
    let till = till_units(&claims);
    Ok(Totals { wallet, till })
}

type Claims = Vec<(TillEcoin, Vec<TillClaim>)>;

fn read(tx: &Tx<'_>) -> Stored<(Vec<Chain>, Claims)> {
    let chain = |ecoin: crate::ports::Ecoin| {
        let grants = tx.grants(ecoin.touchstone.content.ecoin)?;
        Ok(Chain { ecoin, grants })
    };
    let chains = tx.all_ecoins()?.into_iter().map(chain);
    let mut claims: Claims = Vec::new();
    let mut places: BTreeMap<EcoinId, usize> = BTreeMap::new();
    for (_, claim) in tx.claims_after(0, true, u32::MAX)? {
        let place = *places.entry(claim.ecoin).or_insert(claims.len());
        if place == claims.len() {
            let missing = || StoreError::damaged("a claim without its e-coin");
            claims.push((tx.till_ecoin(claim.ecoin)?.ok_or_else(missing)?, Vec::new()));
        }
        claims[place].1.push(claim);
    }
    Ok((chains.collect::<Stored<_>>()?, claims))
}

/// Worth of the words accepted and not settled; words under two grants once.
fn till_units(claims: &Claims) -> Units {
    let of_ecoin = |(ecoin, claims): &(TillEcoin, Vec<TillClaim>)| {
        let open = claims.iter().filter(|claim| claim.lost.is_none());
        let settled = accepting::merged(claims.iter().filter_map(|claim| Run::new(claim.grant.from, claim.settled)));
        let runs = accepting::merged(open.filter_map(|c| Run::new(c.grant.from, c.through)));
        let free: Vec<Run> = runs.iter().flat_map(|run| run.without(&settled)).collect();
        runs::count(&free).worth(ecoin.touchstone.content.unit_value)
    };
    claims.iter().map(of_ecoin).fold(Units::ZERO, add)
}

impl Wallet {
    /// Runs what needs no home, or opens it in its own way; `None` for all else.
    pub async fn run_without_home(&self, dir: &Path, passphrase: &Source, json: bool) -> Option<Result<(), Failure>> {
        match &self.command {
            Command::Passphrase(command) => Some(command.run(dir, passphrase, json)),
            Command::Backup(command) => command.run_without_home(dir, passphrase, json).await,
            Command::Show { .. } | Command::Restore(_) | Command::Rotate(_) => None,
        }
    }

    /// Runs it.
    pub async fn run(&self, session: &Session, passphrase: &Source) -> Result<(), Failure> {
        match &self.command {
            Command::Show { words } => show(session, *words),
            Command::Restore(command) => command.run(session).await,
            Command::Rotate(command) => command.run(session).await,
            Command::Passphrase(_) => Ok(()),
            Command::Backup(command) => command.run(session, passphrase),
        }
    }
}

fn show(session: &Session, words: bool) -> Result<(), Failure> {
    let (chains, claims) = session.store.read(read)?;
    let totals = totals(session)?;
    let wallet: Vec<Value> = chains.iter().map(|chain| own(chain, words)).collect();
    let till: Vec<Value> =
        claims.iter().flat_map(|(ecoin, claims)| claims.iter().map(|claim| taken(ecoin, claim, words))).collect();
    let wordless: Vec<Value> =
        session.store.read(|tx| tx.wordless_ecoins())?.iter().map(|t| wordless(&t.content)).collect();
    let object = json!({
        "wallet": wallet,
        "wordless": wordless,
        "till": till,
        "wallet_units": totals.wallet.0,
        "till_units": totals.till.0,
    });
    session.print(&object, || text(&wallet, &wordless, &till, &totals));
    Ok(())
}

/// An e-coin that only the broker knows: bought by this wallet's life before it was restored.
fn wordless(t: &Touchstone) -> Value {
    json!({
        "ecoin": t.ecoin.to_string(),
        "suite": t.suite.to_string(),
        "n": t.n.0,
        "unit_value": t.unit_value.0,
        "worth_units": t.worth().0,
        "refund_after_ms": t.redeem_until_ms,
    })
}

fn own(chain: &Chain, words: bool) -> Value {
    let t = &chain.ecoin.touchstone.content;
    let remaining = chain.remaining();
    let grants: Vec<Value> = chain
        .grants
        .iter()
        .map(|own| {
            json!({
                "payee": own.payee.to_string(),
                "from": own.grant.from.0,
                "to": own.grant.to.0,
                "through": own.through.0,
                "open": own.is_open(),
            })
        })
        .collect();
    let granted_to = chain.grants.iter().find(|own| own.is_open()).map(|own| own.payee.to_string());
    let mut object = json!({
        "ecoin": t.ecoin.to_string(),
        "suite": t.suite.to_string(),
        "n": t.n.0,
        "index": chain.next().0,
        "remaining_words": remaining.0,
        "unit_value": t.unit_value.0,
        "worth_units": remaining.worth(t.unit_value).0,
        "granted_to": granted_to,
        "grants": grants,
        "locked": chain.ecoin.locked,
        "refund_after_ms": chain.ecoin.locked.then_some(t.redeem_until_ms),
        "spend_until_ms": t.spend_until_ms,
        "redeem_until_ms": t.redeem_until_ms,
        "root": t.suite.show(&t.root),
    });
    if words {
        let all = PaywordChain::below(t.suite, &t.ecoin, t.n, chain.ecoin.last);
        let unspent = (chain.next().0..=t.n.0).filter_map(|i| all.word(PaywordIndex(i)));
        object["words"] = unspent.map(|word| t.suite.show(&word)).collect();
    }
    object
}

fn taken(ecoin: &TillEcoin, claim: &TillClaim, words: bool) -> Value {
    let t = &ecoin.touchstone.content;
    let run = Run::new(claim.grant.from, claim.through);
    let count = run.map_or(WordCount(0), |run| run.words());
    let unsettled = redeeming::unsettled(claim);
    let mut object = json!({
        "ecoin": t.ecoin.to_string(),
        "payer": t.payer.to_string(),
        "from": claim.grant.from.0,
        "through": claim.through.0,
        "index": claim.through.next().0,
        "words": count.0,
        "price_units": count.worth(t.unit_value).0,
        "settled_words": count.minus(unsettled).unwrap_or_default().0,
        "conflicting_words": claim.conflicting.0,
        "redeemed": unsettled == WordCount(0) && !claim.again,
        "lost": claim.lost.map(|verdict| verdict.name()),
        "unknown_to_broker": ecoin.unknown,
        "suite": t.suite.to_string(),
        "root": t.suite.show(&t.root),
    });
    if words {
        object["paywords"] = below(t.suite, claim, t.ecoin).iter().map(|word| t.suite.show(word)).collect();
    }
    object
}

/// The words of a claim, lowest first.
fn below(suite: Suite, claim: &TillClaim, ecoin: EcoinId) -> Vec<Payword> {
    let chain = PaywordChain::below(suite, &ecoin, claim.through, claim.word);
    (claim.grant.from.0..=claim.through.0).filter_map(|i| chain.word(PaywordIndex(i))).collect()
}

fn list(words: &Value) -> String {
    let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(|word| format!("      {word}\n")).collect()
}

/// The paper's Figures 4 and 6, then 5, 7 and 9.
fn text(wallet: &[Value], wordless: &[Value], till: &[Value], totals: &Totals) -> String {
    let mut text = format!("e-wallet: {} units\n", totals.wallet);
    text += "  IDe                               suite   index     n  words left    units\n";
    for e in wallet {
        let field = |name| field(e, name);
        text += &format!(
            "  {:<32}  {:<6} {:>6} {:>5} {:>11} {:>8}",
            field("ecoin"),
            field("suite"),
            field("index"),
            field("n"),
            field("remaining_words"),
            field("worth_units"),
        );
        if let Some(payee) = e["granted_to"].as_str() {
            text += &format!("  open grant to {payee}");
        }
        text += &match e["refund_after_ms"].as_u64() {
            Some(time) => format!("  locked; what nobody redeems is refunded after {time} (ms since 1970)\n"),
            None => "\n".into(),
        };
        text += &list(&e["words"]);
    }
    for e in wordless {
        let field = |name| field(e, name);
        text += &format!(
            "  {}  {:<6} bought before the restore, words unknown here; refunded after {} (ms since 1970)\n",
            field("ecoin"),
            field("suite"),
            field("refund_after_ms")
        );
    }
    text += &format!("\nredeem database (till): {} units to redeem\n", totals.till);
    text += "  IDe                               payer                              index   price  paywords      redeemed\n";
    for c in till {
        let field = |name| field(c, name);
        text += &format!(
            "  {:<32}  {:<32} {:>6} {:>7}  {:<12}  {}",
            field("ecoin"),
            field("payer"),
            field("index"),
            field("price_units"),
            format!("W{}..W{}", field("from"), field("through")),
            if c["redeemed"] == true { "yes" } else { "no" },
        );
        match (c["lost"].as_str(), c["conflicting_words"].as_u64()) {
            (Some(verdict), _) => text += &format!("  lost: {verdict}"),
            (None, Some(words)) if words > 0 => {
                text += &format!("  lost: the payer spent {words} of them twice");
            }
            _ => {}
        }
        text += "\n";
        text += &list(&c["paywords"]);
    }
    text
}
