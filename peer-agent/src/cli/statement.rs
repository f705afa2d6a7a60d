//! `netpay statement`: the broker's signed answers to redemptions (the paper's M7).

use netpay_protocol::amounts::WordCount;
use netpay_protocol::ids::RequestId;
use netpay_protocol::redemption::{Claim, Line, Statement as Signed};
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use crate::ports::Batches as _;

/// Show the statements held, or one of them with its lines.
#[derive(clap::Args, Debug)]
pub struct Statement {
    /// Which batch.
    #[arg(long, value_name = "ID")]
    batch: Option<RequestId>,
    /// The most statements to list.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

fn head(statement: &Signed) -> Value {
    let sum = |of: fn(&Line) -> WordCount| -> u64 { statement.lines.iter().map(|line| u64::from(of(line).0)).sum() };
    json!({
        "request": statement.request.to_string(),
        "issued_at_ms": statement.issued_at_ms,
        "claims": statement.lines.len(),
        "credited_words": sum(|line| line.credited),
        "already_paid_words": sum(|line| line.already_paid),
        "conflicting_words": sum(|line| line.conflicting),
        "balance_units": statement.balance_units.0,
        "position": statement.head.position,
        "head": statement.head.hash.to_string(),
        "incarnation": statement.incarnation,
    })
}

fn line(claim: &Claim, line: &Line) -> Value {
    json!({
        "ecoin": claim.ecoin().to_string(),
        "from": claim.index.content.from.0,
        "through": claim.through.0,
        "verdict": line.verdict.name(),
        "credited_words": line.credited.0,
        "already_paid_words": line.already_paid.0,
        "conflicting_words": line.conflicting.0,
    })
}

fn row(head: &Value) -> String {
    format!(
        "{}  {} claims: {} words credited, {} paid before, {} conflicting; balance {} units\n",
        head["request"].as_str().unwrap_or(""),
        head["claims"],
        head["credited_words"],
        head["already_paid_words"],
        head["conflicting_words"],
        head["balance_units"]
    )
}

impl Statement {
    /// Runs it.
    pub fn run(&self, session: &Session) -> Result<(), Failure> {
        let Some(request) = self.batch else {
            let statements = session.store.read(|tx| tx.statements(self.limit))?;
            let heads: Vec<Value> = statements.iter().map(|s| head(&s.content)).collect();
            session.print(&json!({ "statements": heads }), || heads.iter().map(row).collect());
            return Ok(());
        };
        let held = session.store.read(|tx| tx.statement(request))?;
        let (batch, statement) =
            held.ok_or_else(|| Failure::new(3, format!("there is no statement of batch {request}")))?;
        let lines: Vec<Value> = batch
            .content
            .claims
            .iter()
            .zip(&statement.content.lines)
            .map(|(claim, answer)| line(claim, answer))
            .collect();
        let mut object = head(&statement.content);
        object["lines"] = lines.clone().into();
        session.print(&object, || {
            let mut text = row(&object);
            for line in &lines {
                text += &format!("  {line}\n");
            }
            text
        });
        Ok(())
    }
}
