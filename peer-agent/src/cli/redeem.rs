//! `netpay redeem`: turns accepted words into balance.

use netpay_protocol::redemption::Verdict;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::errands::Redeemed;
use crate::till::redeeming::{SettledLine, Which};

/// Redeem what the till holds. What was not answered is sent again, and is paid once.
#[derive(clap::Args, Debug)]
pub struct Redeem {
    /// Ask for every claim that is still held, redeemed ones too: after the broker was restored from a backup.
    #[arg(long)]
    all: bool,
}

impl Redeem {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let net = session.connect().await?;
        session.greet_broker(&net).await?;
        let which = if self.all { Which::All } else { Which::Unsettled };
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
        if done.iter().any(|batch| batch.restored) && !self.all {
            eprintln!(
                "the broker was restored from a backup, and may have forgotten what it paid; run: netpay redeem --all"
            );
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
