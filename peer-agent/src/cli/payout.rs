//! `netpay payout`: has the broker's operator pay out balance, and shows what became of it.

use netpay_protocol::amounts::Units;
use netpay_protocol::limits::MAX_DESTINATION_BYTES;
use netpay_protocol::payout::{PayoutState, PayoutView};
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::Session;
use super::time::rfc3339;
use crate::errands::Error;
use crate::home::identity::new_request;
use crate::ports::{OwnPayout, Payouts as _, PurchaseState};
use crate::wallet::paying_out::Wish;

/// Have balance paid out by the broker's operator, or list the payouts. It is debited at once; the operator then pays
/// it, or gives it back. A payout whose answer is lost is finished by the next command, and debited once.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "While a payout is unanswered, the same amount to the same destination is that payout again, and not a second one.\n\nExamples:\n  netpay payout 500 --to \"IBAN DE02 1203 0000 0000 2020 51\"\n  netpay payout --list"
)]
pub struct Payout {
    /// How much, in units.
    #[arg(value_parser = clap::value_parser!(u64).range(1..=i64::MAX.unsigned_abs()), required_unless_present = "list", requires = "to")]
    units: Option<u64>,
    /// Where to, in the form that the operator asks for.
    #[arg(long, value_name = "DESTINATION", value_parser = destination, requires = "units")]
    to: Option<String>,
    /// Show every payout and how it stands.
    #[arg(long, conflicts_with_all = ["units", "to"])]
    list: bool,
}

fn destination(text: &str) -> Result<String, String> {
    let fits = u32::try_from(text.len()).is_ok_and(|len| (1..=MAX_DESTINATION_BYTES).contains(&len));
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a destination has 1 to {MAX_DESTINATION_BYTES} bytes"))
}

impl Payout {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        match (self.units, &self.to) {
            (Some(units), Some(to)) => pay_out(session, &Wish { amount: Units(units), destination: to.clone() }).await,
            _ => list(session).await,
        }
    }
}

async fn pay_out(session: &Session, wish: &Wish) -> Result<(), Failure> {
    let net = session.connect().await?;
    // Without finishing other payouts first: one for the same money is this one.
    session.greet_before_payouts(&net).await?;
    let done = session.errands(&net).pay_out(wish, new_request()).await.map_err(|error| {
        let is_open = matches!(error, Error::Call(_) | Error::NotBelieved(_));
        let failure = Failure::from(error);
        let kept = "the payout is kept: this command again, or any other, finishes it, and it is debited once";
        if is_open { Failure::new(failure.code, format!("{}\n{kept}", failure.text)) } else { failure }
    })?;
    // Others that are open wait for the next command: their trouble must not look like a no to this one, which was debited.
    let mut object = viewed(&done.view);
    object["asked_before"] = done.again.into();
    session.print(&object, || {
        let again = if done.again { "it had been asked for before, and was not answered then\n" } else { "" };
        format!("{}{again}", line(&object))
    });
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let asked = async {
        let net = session.connect().await?;
        session.greet_broker(&net).await?;
        Ok::<_, Failure>(session.errands(&net).payouts().await?)
    };
    let (payouts, from_broker) = match asked.await {
        Ok(payouts) => (payouts, true),
        // What the wallet knows is better than nothing, and says that it is no more than that.
        Err(failure) if matches!(failure.code, 6 | 75) => {
            eprintln!("netpay: {}; what follows is what the wallet knows", failure.text);
            (session.store.read(|tx| tx.payouts())?, false)
        }
        Err(failure) => return Err(failure),
    };
    let objects: Vec<Value> = payouts.iter().map(object).collect();
    session.print(&json!({ "payouts": objects, "from_broker": from_broker }), || {
        if objects.is_empty() { "no payouts".into() } else { objects.iter().map(line).collect() }
    });
    Ok(())
}

fn viewed(view: &PayoutView) -> Value {
    let (state, told_at_ms, note) = match &view.state {
        PayoutState::Requested => ("requested", None, None),
        PayoutState::Settled { reference, at_ms } => ("settled", Some(*at_ms), Some(reference)),
        PayoutState::Failed { reason, at_ms } => ("failed", Some(*at_ms), Some(reason)),
    };
    json!({
        "request": view.request.to_string(),
        "amount_units": view.amount.0,
        "destination": view.destination,
        "state": state,
        "note": note,
        "requested_at_ms": view.requested_at_ms,
        "final_at_ms": told_at_ms,
        "position": view.position,
    })
}

fn object(own: &OwnPayout) -> Value {
    if let Some(view) = &own.view {
        return viewed(view);
    }
    let order = own.order.as_ref().map(|order| &order.content);
    json!({
        "request": own.request.to_string(),
        "amount_units": order.map(|order| order.amount_units.0),
        "destination": order.map(|order| order.destination.clone()),
        "state": match own.state {
            PurchaseState::Refused => "refused",
            PurchaseState::Dropped => "dropped",
            PurchaseState::Pending | PurchaseState::Done => "unanswered",
        },
        "note": (!own.why.is_empty()).then_some(&own.why),
        "requested_at_ms": own.at_ms,
        "final_at_ms": null,
        "position": null,
    })
}

fn line(object: &Value) -> String {
    format!(
        "{}  {}  {:>8} units  {:<10}  to {}  {}\n",
        rfc3339(object["requested_at_ms"].as_u64().unwrap_or(0)),
        object["request"].as_str().unwrap_or(""),
        object["amount_units"],
        object["state"].as_str().unwrap_or(""),
        object["destination"].as_str().unwrap_or(""),
        object["note"].as_str().unwrap_or("")
    )
}
