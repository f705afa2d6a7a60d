//! `netpay redeem`: turns accepted words into balance.

use netpay_protocol::redemption::Verdict;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{Session, now_ms};
use super::time::rfc3339;
use crate::errands::Redeemed;
use crate::till::redeeming::{Redeemer, SettledLine, Which};
use crate::till::rehearsal::{self, Planned, PlannedClaim};

/// Redeem what the till holds. What was not answered is sent again, and is paid once.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netpay redeem
  netpay redeem --dry-run
  netpay redeem --publish             # leave the batch in the broker's inbox, which need not serve now …
  netpay statement --batch ID         # … and fetch its statement later")]
pub struct Redeem {
    /// Ask for every claim that is still held, redeemed ones too. (After a broker was restored from a backup this happens
    /// by itself.)
    #[arg(long)]
    all: bool,
    /// Send nothing: show which batches would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Leave one batch in the broker's inbox and do not wait for its statement: `netpay statement --batch ID` fetches that
    /// later. Until then nothing is settled here, and `netpay redeem` may send the same batch at any time: it is paid once.
    #[arg(long, conflicts_with = "dry_run")]
    publish: bool,
}

impl Redeem {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let which = if self.all { Which::All } else { Which::Unsettled };
        if self.dry_run {
            return rehearse(session, which);
        }
        if self.publish {
            return publish(session, which).await;
        }
        let net = session.connect().await?;
        session.greet_broker(&net).await?;
        let errands = session.errands(&net);
        let done = errands.redeem(which).await?;
        let balance = match done.last() {
            Some(last) => last.statement.balance_units,
            None => errands.balance().await.map(|view| view.balance)?,
        };
        let credited: u64 = done.iter().flat_map(|b| &b.lines).map(|l| l.credited.0).sum();
        let batches: Vec<Value> = done.iter().map(batch).collect();
        let object = json!({
            "batches": batches,
            "credited_units": credited,
            "balance_units": balance.0,
            "nothing_to_redeem": done.is_empty(),
            "broker_restored": done.iter().any(|batch| batch.restored),
        });
        if done.iter().any(|batch| batch.restored) {
            eprintln!("the broker was restored from a backup: what it had paid was asked for again");
        }
        session.print(&object, || {
            if done.is_empty() {
                return format!("nothing to redeem; balance {balance} units");
            }
            let lines = done.iter().flat_map(|b| &b.lines);
            let mut text: String = lines.filter_map(remark).collect();
            text += &format!("credited {credited} units; balance {balance} units\n");
            text
        });
        Ok(())
    }
}

/// Leaves a batch in the inbox. Needs NATS, and no broker.
async fn publish(session: &Session, which: Which) -> Result<(), Failure> {
    session.check_keys()?;
    let net = session.connect().await?;
    let left = session.errands(&net).publish(which).await?;
    let Some((batch, left)) = left else {
        session.print(&json!({ "published": null, "nothing_to_redeem": true }), || "nothing to redeem".into());
        return Ok(());
    };
    let request = batch.content.request;
    let who = Redeemer { me: &session.home.identity, broker: session.home.config.broker };
    let planned = session.store.rehearse(|tx| rehearsal::rehearse(tx, &who, Which::Unsettled, now_ms()))?;
    // The first is the one that lies there, unless its statement came meanwhile.
    let (this, later): (Vec<_>, Vec<_>) = planned.iter().partition(|planned| planned.batch.content.request == request);
    let units: u64 = this.iter().flat_map(|batch| &batch.claims).map(|claim| claim.worth.0).sum();
    let later = later.iter().map(|batch| batch.claims.len()).sum::<usize>();
    let object = json!({
        "published": {
            "request": request.to_string(),
            "claims": batch.content.claims.len(),
            "units": units,
            "lay_there_before": left.before,
        },
        "later_claims": later,
        "nothing_to_redeem": false,
    });
    session.print(&object, || {
        let mut text = format!(
            "left in the broker's inbox: batch {request}, {} claims, {units} units\n\
             fetch its statement later with: netpay statement --batch {request}\n",
            batch.content.claims.len()
        );
        if later > 0 {
            text += &format!("{later} claims wait for the next batch, once this one is settled\n");
        }
        text
    });
    Ok(())
}

/// Shows what would be sent. Needs no NATS and no broker, and changes nothing.
fn rehearse(session: &Session, which: Which) -> Result<(), Failure> {
    let who = Redeemer { me: &session.home.identity, broker: session.home.config.broker };
    let planned = session.store.rehearse(|tx| rehearsal::rehearse(tx, &who, which, now_ms()))?;
    let claims = || planned.iter().flat_map(|batch| &batch.claims);
    let units: u64 = claims().map(|claim| claim.worth.0).sum();
    let earliest = claims().map(|claim| claim.redeem_until_ms).min();
    let batches: Vec<Value> = planned.iter().map(would_send).collect();
    let object = json!({
        "dry_run": true,
        "batches": batches,
        "claims": claims().count(),
        "units": units,
        "earliest_redeem_until_ms": earliest,
        "nothing_to_redeem": planned.is_empty(),
    });
    session.print(&object, || {
        let Some(earliest) = earliest else { return "nothing to redeem".into() };
        let mut text = String::new();
        for (number, batch) in planned.iter().enumerate() {
            let open = if batch.open { ", left open by an earlier command" } else { "" };
            text += &format!("batch {}: {} claims{open}\n", number + 1, batch.claims.len());
            for planned in &batch.claims {
                text += &format!(
                    "  e-coin {}  payer {}  W{}..W{}  {} units  until {}\n",
                    planned.claim.ecoin(),
                    planned.payer,
                    planned.claim.index.content.from,
                    planned.claim.through,
                    planned.worth,
                    rfc3339(planned.redeem_until_ms)
                );
            }
        }
        text + &format!("{units} units would be asked for; the earliest is lost after {}\n", rfc3339(earliest))
    });
    Ok(())
}

fn would_send(planned: &Planned) -> Value {
    let claim = |planned: &PlannedClaim| {
        json!({
            "ecoin": planned.claim.ecoin().to_string(),
            "payer": planned.payer.to_string(),
            "from": planned.claim.index.content.from.0,
            "through": planned.claim.through.0,
            "units": planned.worth.0,
            "redeem_until_ms": planned.redeem_until_ms,
        })
    };
    let claims: Vec<Value> = planned.claims.iter().map(claim).collect();
    json!({
        // A new batch gets its id when it is made.
        "request": planned.open.then(|| planned.batch.content.request.to_string()),
        "open": planned.open,
        "units": planned.claims.iter().map(|claim| claim.worth.0).sum::<u64>(),
        "claims": claims,
    })
}

fn batch(redeemed: &Redeemed) -> Value {
    let sum = |of: fn(&SettledLine) -> u32| -> u64 { redeemed.lines.iter().map(|line| u64::from(of(line))).sum() };
    let lines: Vec<Value> = redeemed.lines.iter().map(line).collect();
    json!({
        "request": redeemed.statement.request.to_string(),
        "credited_units": redeemed.lines.iter().map(|line| line.credited.0).sum::<u64>(),
        "credited_words": sum(|l| l.line.credited.0),
        "already_paid_words": sum(|l| l.line.already_paid.0),
        "conflicting_words": sum(|l| l.line.conflicting.0),
        "balance_units": redeemed.statement.balance_units.0,
        "lines": lines,
    })
}

/// One line of a statement.
pub fn line(line: &SettledLine) -> Value {
    json!({
        "ecoin": line.claim.ecoin().to_string(),
        "payer": line.payer.map(|peer| peer.to_string()),
        "from": line.claim.index.content.from.0,
        "through": line.claim.through.0,
        "index": line.claim.through.next().0,
        "verdict": line.line.verdict.name(),
        "credited_words": line.line.credited.0,
        "credited_units": line.credited.0,
        "already_paid_words": line.line.already_paid.0,
        "conflicting_words": line.line.conflicting.0,
    })
}

/// What a person must hear of a line.
fn remark(line: &SettledLine) -> Option<String> {
    let payer = line.payer.map_or_else(|| "somebody".into(), |peer| peer.to_string());
    let ecoin = line.claim.ecoin();
    match line.line.verdict {
        Verdict::Credited | Verdict::AlreadyPaid => None,
        Verdict::Conflicting => Some(format!(
            "payer {payer} double spent: {} words of e-coin {ecoin} were paid to somebody else before; they are lost\n",
            line.line.conflicting
        )),
        Verdict::UnknownEcoin => Some(format!(
            "the broker does not know e-coin {ecoin} of {payer}: kept, and sent again with its touchstone\n"
        )),
        verdict => Some(format!("the claim on e-coin {ecoin} of {payer} is {}: its words are lost\n", verdict.name())),
    }
}
