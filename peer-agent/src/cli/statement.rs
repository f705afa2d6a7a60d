//! `netpay statement`: the broker's signed answers to redemptions (the paper's M7).

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::RequestId;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{Claim, Line, RedemptionBatch, Statement as Answer, Verdict};
use netpay_protocol::wire;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{self, Session};
use super::{csv, time};
use crate::ports::inbox::Outbox as _;
use crate::ports::{Batches as _, StoreError, Till as _};

/// Show the statements held, or one of them with its lines. One whose answer was lost is asked of the broker, and
/// settles the batch that it answers.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  netpay statement
  netpay statement --batch ID --csv > statement.csv
  netpay statement --batch ID --save my.statement   # for: netpay-broker ledger audit --statement my.statement")]
pub struct Statement {
    /// Which batch.
    #[arg(long, value_name = "ID")]
    batch: Option<RequestId>,
    /// The most statements to list; otherwise 50, or all with --csv.
    #[arg(long)]
    limit: Option<u32>,
    /// As a table for a spreadsheet, with a header.
    #[arg(long)]
    csv: bool,
    /// Put the signed statement into a new file as well: whoever audits the broker can hold its log against it.
    #[arg(long, value_name = "FILE", requires = "batch")]
    save: Option<PathBuf>,
}

fn head(statement: &Answer) -> Value {
    let sum = |of: fn(&Line) -> WordCount| -> u64 { statement.lines.iter().map(|line| u64::from(of(line).0)).sum() };
    json!({
        "request": statement.request.to_string(),
        "issued_at": time::rfc3339(statement.issued_at_ms),
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

/// What a verdict means for the person.
fn means(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Credited => "credited to the balance",
        Verdict::AlreadyPaid => "credited by an earlier batch",
        Verdict::Conflicting => "the payer had spent the conflicting words with somebody else; they are lost",
        Verdict::UnknownEcoin => "the broker does not know the e-coin; kept, and sent again with its touchstone",
        Verdict::Invalid => "range or word is not the e-coin's; lost",
        Verdict::Unauthorised => "the grant is not the payer's word to this peer; lost",
        Verdict::Expired => "the e-coin was refunded before; lost",
    }
}

/// A line with its claim; a batch that is not held any more has none.
fn line(session: &Session, claim: Option<&Claim>, line: &Line) -> Result<Value, StoreError> {
    let ecoin = match claim {
        Some(claim) => session.store.read(|tx| tx.till_ecoin(claim.ecoin()))?,
        None => None,
    };
    let t = ecoin.as_ref().map(|ecoin| &ecoin.touchstone.content);
    let units = |words: WordCount| t.map(|t| words.worth(t.unit_value)).map(|Units(units)| units);
    Ok(json!({
        "ecoin": claim.map(|claim| claim.ecoin().to_string()),
        "payer": t.map(|t| t.payer.to_string()),
        "from": claim.map(|claim| claim.index.content.from.0),
        "through": claim.map(|claim| claim.through.0),
        "verdict": line.verdict.name(),
        "credited_words": line.credited.0,
        "credited_units": units(line.credited),
        "already_paid_words": line.already_paid.0,
        "already_paid_units": units(line.already_paid),
        "conflicting_words": line.conflicting.0,
        "conflicting_units": units(line.conflicting),
        "means": means(line.verdict),
    }))
}

fn row(head: &Value) -> String {
    format!(
        "{}  {}  {} claims: {} words credited, {} paid before, {} conflicting; balance {} units\n",
        session::field(head, "issued_at"),
        session::field(head, "request"),
        head["claims"],
        head["credited_words"],
        head["already_paid_words"],
        head["conflicting_words"],
        head["balance_units"]
    )
}

fn line_text(line: &Value) -> String {
    let field = |name| session::field(line, name);
    format!(
        "  e-coin {:<32}  payer {:<32}  W{}..W{}  {:<13} {} units credited: {}\n",
        field("ecoin"),
        field("payer"),
        field("from"),
        field("through"),
        field("verdict"),
        field("credited_units"),
        field("means")
    )
}

/// The columns of `--csv`, for good: of the list, and of one statement.
const LIST: [&str; 11] = [
    "request",
    "issued_at",
    "issued_at_ms",
    "claims",
    "credited_words",
    "already_paid_words",
    "conflicting_words",
    "balance_units",
    "position",
    "head",
    "incarnation",
];
const LINES: [&str; 12] = [
    "ecoin",
    "payer",
    "from",
    "through",
    "verdict",
    "credited_words",
    "credited_units",
    "already_paid_words",
    "already_paid_units",
    "conflicting_words",
    "conflicting_units",
    "means",
];

fn cells(columns: &[&str], object: &Value) -> Vec<String> {
    columns.iter().map(|column| session::field(object, column)).collect()
}

impl Statement {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let Some(request) = self.batch else {
            let limit = self.limit.unwrap_or(if self.csv { u32::MAX } else { 50 });
            let statements = session.store.read(|tx| tx.statements(limit))?;
            let heads: Vec<Value> = statements.iter().map(|s| head(&s.content)).collect();
            if self.csv {
                return session.print_table(&csv::table(&LIST, heads.iter().map(|head| cells(&LIST, head))));
            }
            let left = session.store.read(|tx| tx.published())?;
            let published = left.map(|left| json!({ "request": left.request.to_string(), "published_ms": left.at_ms }));
            session.print(&json!({ "statements": heads, "published": published }), || {
                let left = left.map(|left| {
                    let since = time::rfc3339(left.at_ms);
                    format!("{since}  {}  in the broker's inbox: no statement is held yet\n", left.request)
                });
                heads.iter().map(row).chain(left).collect()
            });
            return Ok(());
        };
        let held = session.store.read(|tx| tx.statement(request))?;
        let (batch, signed, source) = match held {
            Some((batch, statement)) => (Some(batch.content), statement, "wallet"),
            None => {
                let (batch, statement) = ask(session, request).await?;
                (batch, statement, "broker")
            }
        };
        if let Some(file) = &self.save {
            save(file, &signed)?;
        }
        let statement = signed.content;
        let claims = batch.iter().flat_map(|batch| &batch.claims).map(Some).chain(std::iter::repeat(None));
        let lines: Vec<Value> = statement
            .lines
            .iter()
            .zip(claims)
            .map(|(answer, claim)| line(session, claim, answer))
            .collect::<Result<_, StoreError>>()?;
        if self.csv {
            return session.print_table(&csv::table(&LINES, lines.iter().map(|line| cells(&LINES, line))));
        }
        let mut object = head(&statement);
        object["source"] = source.into();
        object["lines"] = lines.clone().into();
        session.print(&object, || row(&object) + &lines.iter().map(line_text).collect::<String>());
        Ok(())
    }
}

/// Into a new file: a statement is evidence, and never takes another's place.
fn save(file: &Path, statement: &Signed<Answer>) -> Result<(), Failure> {
    let written = File::create_new(file).and_then(|mut open| {
        open.write_all(&wire::encode(statement))?;
        open.sync_all()
    });
    written.map_err(|error| Failure::new(1, format!("cannot save the statement in {}: {error}", file.display())))
}

async fn ask(session: &Session, request: RequestId) -> Result<(Option<RedemptionBatch>, Signed<Answer>), Failure> {
    let net = session.connect().await?;
    session.greet_broker(&net).await?;
    let left = session.store.read(|tx| tx.published())?;
    session.errands(&net).statement(request).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.code {
            3 if left.is_some_and(|left| left.request == request) => Failure::new(
                75,
                format!(
                    "the broker has no statement of batch {request} yet: it lies in the inbox, or it changed nothing there; \
                     ask again later, or send the same batch now with: netpay redeem"
                ),
            ),
            3 => Failure::new(3, format!("there is no statement of batch {request} here; {}", failure.text)),
            _ => failure,
        }
    })
}
