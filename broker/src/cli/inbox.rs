//! `netpay-broker inbox …`: what peers left for the broker, and what it set aside out of that.

use clap::{Args, Subcommand};
use netpay_protocol::messages::Redeem;
use netpay_protocol::redemption::Claim;
use netpay_protocol::{subjects, wire};
use serde_json::{Value, json};

use super::{NotFound, Said, Where, moment};
use crate::bus::inbox::look::{Kept, Look, Shelf};

#[derive(Subcommand, Debug)]
pub(super) enum Inbox {
    /// What waits to be settled, and what was set aside with its reason; the oldest first.
    #[command(after_help = "\
Examples:
  netpay-broker inbox list --config broker
  netpay-broker --json inbox list --limit 1000 --config broker

What was set aside can never be settled as it is; its peer keeps its claims, and may send them again. Numbers of what waits
and of what was set aside are apart.")]
    List(List),
    /// One message in words: whose it is, and what it claims.
    #[command(after_help = "\
Examples:
  netpay-broker inbox show 17 --config broker               one that waits
  netpay-broker inbox show 3 --aside --config broker        one that was set aside")]
    Show(Show),
    /// Remove one that was set aside, and say why it was. What waits cannot be removed: it is settled, or set aside.
    #[command(after_help = "\
Example:
  netpay-broker inbox drop 3 --config broker")]
    Drop(Drop),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// The most of either to show.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// Its number.
    number: u64,
    /// It is one of those set aside.
    #[arg(long)]
    aside: bool,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Drop {
    /// Its number among those set aside.
    number: u64,
    #[command(flatten)]
    at: Where,
}

impl Inbox {
    pub(super) async fn run(self) -> anyhow::Result<Said> {
        match self {
            Self::List(List { limit, at }) => list(&at, limit).await,
            Self::Show(Show { number, aside, at }) => {
                let shelf = if aside { Shelf::Aside } else { Shelf::Waiting };
                let kept = look(&at).await?.one(shelf, number).await?.ok_or_else(|| none(shelf, number))?;
                Ok(Said::new(whole(&kept), text(&kept, true)))
            }
            Self::Drop(Drop { number, at }) => {
                let dropped = look(&at).await?.drop_aside(number).await?;
                let kept = dropped.ok_or_else(|| none(Shelf::Aside, number))?;
                Ok(Said::new(json!({ "dropped": row(&kept) }), format!("dropped\n{}", text(&kept, false))))
            }
        }
    }
}

async fn look(at: &Where) -> anyhow::Result<Look> {
    Look::connect(&at.load()?).await
}

fn none(shelf: Shelf, number: u64) -> anyhow::Error {
    let which = match shelf {
        Shelf::Waiting => "waits",
        Shelf::Aside => "was set aside",
    };
    NotFound(format!("no message {number} {which}; see: netpay-broker inbox list")).into()
}

async fn list(at: &Where, limit: usize) -> anyhow::Result<Said> {
    let look = look(at).await?;
    let mut shown: [Vec<Value>; 2] = Default::default();
    let mut counts = [0; 2];
    let mut said = String::new();
    for (i, (shelf, what)) in [(Shelf::Waiting, "waiting"), (Shelf::Aside, "set aside")].into_iter().enumerate() {
        let mut lines = String::new();
        let mut visit = |kept: Kept| {
            shown[i].push(row(&kept));
            lines += &text(&kept, false);
        };
        let count = look.each(shelf, limit, &mut visit).await?;
        let missing = || NotFound("there is no inbox on this NATS server: a broker makes it when it serves".into());
        counts[i] = count.ok_or_else(missing)?;
        said += &format!("{} {what}\n{lines}", counts[i]);
    }
    let [waiting, aside] = shown;
    let json = json!({
        "waiting_count": counts[0],
        "waiting": waiting,
        "set_aside_count": counts[1],
        "set_aside": aside,
    });
    Ok(Said::new(json, said))
}

fn batch(kept: &Kept) -> Option<Redeem> {
    wire::decode(&kept.payload).ok()
}

fn row(kept: &Kept) -> Value {
    let batch = batch(kept);
    json!({
        "number": kept.number,
        "subject": kept.subject,
        "peer": subjects::sender(&kept.subject).map(|peer| peer.to_string()),
        "stored_ms": kept.stored_ms,
        "size_bytes": kept.payload.len(),
        "request": batch.as_ref().map(|redeem| redeem.batch.content.request.to_string()),
        "claims": batch.as_ref().map(|redeem| redeem.batch.content.claims.len()),
        "reason": kept.why.as_ref().map(|why| &why.reason),
        "text": kept.why.as_ref().map(|why| &why.text),
        "deliveries": kept.why.as_ref().map(|why| why.delivered),
        "set_aside_ms": kept.why.as_ref().map(|why| why.at_ms),
    })
}

/// The row with what is in the batch. The words themselves are nobody else's business.
fn whole(kept: &Kept) -> Value {
    let claim = |claim: &Claim| {
        let grant = &claim.index.content;
        json!({
            "ecoin": grant.ecoin.to_string(),
            "payee": grant.payee.to_string(),
            "from": grant.from.0,
            "to": grant.to.0,
            "through": claim.through.0,
        })
    };
    let batch = batch(kept).map(|redeem| {
        let batch = &redeem.batch.content;
        json!({
            "broker": batch.broker.to_string(),
            "payee": batch.payee.to_string(),
            "request": batch.request.to_string(),
            "seen_position": batch.seen.position,
            "claims": batch.claims.iter().map(claim).collect::<Vec<_>>(),
            "touchstones": redeem.touchstones.len(),
            "brings_keys": redeem.register.is_some(),
        })
    });
    let mut row = row(kept);
    row["batch"] = batch.unwrap_or(Value::Null);
    row
}

/// Subjects and reasons may quote a stranger: in quotes, and escaped.
fn text(kept: &Kept, whole: bool) -> String {
    let sender = subjects::sender(&kept.subject);
    let sender = sender.map_or_else(|| format!("no peer ({:?})", kept.subject), |peer| format!("peer {peer}"));
    let since = moment::shown(kept.stored_ms);
    let mut out = format!("{:>6}  left {since} by {sender}, {} bytes", kept.number, kept.payload.len());
    let batch = batch(kept);
    match &batch {
        None => out += ", no batch that can be read\n",
        Some(redeem) => {
            let batch = &redeem.batch.content;
            out += &format!(", batch {} of {} claims\n", batch.request, batch.claims.len());
        }
    }
    if let Some(why) = &kept.why {
        let at = moment::shown(why.at_ms);
        out += &format!("        set aside {at} at delivery {}: {}: {:?}\n", why.delivered, why.reason, why.text);
    }
    if let Some(redeem) = batch.filter(|_| whole) {
        let batch = &redeem.batch.content;
        out += &format!("        signed for payee {} at broker {}\n", batch.payee, batch.broker);
        for claim in &batch.claims {
            let grant = &claim.index.content;
            out += &format!(
                "        e-coin {}: W{}..W{} of a grant up to W{} to payee {}\n",
                grant.ecoin,
                grant.from,
                claim.through,
                grant.to.0.saturating_sub(1),
                grant.payee
            );
        }
    }
    out
}
