//! `netpay wallet rotate`: other keys for this peer's account.

use netpay_crash_point::agent::Point;
use netpay_protocol::limits::HOUR_MS;
use serde_json::json;

use super::failure::Failure;
use super::session::{Session, now_ms};
use crate::errands::Errands;
use crate::errands::rotating::Rotated;
use crate::home::identity::{Identity, new_request};
use crate::home::keyring::{self, Keys};
use crate::home::rotation::Pending;
use crate::home::sealed::Work;
use crate::home::serving;
use crate::ports::{Slot, Slots as _};
use crate::wallet::certificates;

/// How long the broker may carry the order out.
const ORDER_LIFE_MS: u64 = HOUR_MS;
/// How many keys an account may give up.
const MOST: usize = 16;

/// Draw new keys, and have the account speak with them from now on. Its id, balance and e-coins stay.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  netpay wallet rotate && netpay wallet backup create alice.backup\n\nFor keys that somebody may have seen, or that are simply old. Whoever has the old ones can still spend e-coins bought\nwith them: spend those first. The old keys are kept, because those e-coins need them. A backup from before cannot speak\nfor the account any more: make a new one. Needs the broker, and that nobody serves from this home meanwhile. Whatever\ninterrupts it, run it again: it goes on with the same keys. An account gives up 16 keys at most."
)]
pub struct Rotate {}

impl Rotate {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let _alone = serving::change_keys(&session.home.dir)?;
        check(session)?;
        let net = session.connect().await?;
        if session.home.pending.is_none() {
            // What the old keys signed is answered best while they speak.
            session.greet_broker(&net).await?;
        }
        let keys = update(session, |keys| keys.prepare(draw))?;
        Point::RotateKept.reached();
        let Some(pending) = &keys.pending else { return Err(Failure::new(1, "no keys were drawn")) };
        let errands = Errands { me: &keys.identity, ..session.errands(&net) };
        let Rotated::Taken(certificate) = errands.rotate(pending).await? else {
            update(session, |keys| keys.give_up(pending.request))?;
            let text =
                "the broker did not take the new keys in time, and the account speaks with the old ones; run it again";
            return Err(Failure::new(75, text));
        };
        let broker_keys = errands.keys().await?;
        let me = keys.identity.peer();
        session
            .store
            .write(|tx| certificates::take(tx, &broker_keys, me, &certificate))
            .map_err(|error| Failure::new(7, error.to_string()))?;
        Point::RotateCertified.reached();
        let keys = update(session, |keys| keys.switch(pending.request))?;
        Point::RotateDone.reached();
        let (key, given_up) = (keys.identity.signing.public(), certificate.content.given_up);
        let object = json!({ "peer": me.to_string(), "signing_key": key.to_string(), "keys_given_up": given_up });
        session.print(&object, || {
            format!("peer {me} speaks with new keys; make a new backup now: netpay wallet backup create FILE")
        });
        Ok(())
    }
}

fn draw() -> Pending {
    Pending {
        keys: Identity::generate(),
        request: new_request(),
        valid_until_ms: now_ms().saturating_add(ORDER_LIFE_MS),
    }
}

/// One durable step.
fn update(session: &Session, change: impl FnOnce(&mut Keys)) -> Result<Keys, Failure> {
    let home = &session.home;
    let updated = keyring::update(&home.dir, home.passphrase.as_ref(), Work::FULL, change);
    updated.map_err(|error| crate::home::Error::from(error).into())
}

/// What would be refused anyway is not begun.
fn check(session: &Session) -> Result<(), Failure> {
    if session.store.read(|tx| tx.slot(Slot::KnownToLedger))?.is_none() {
        let text =
            "this account never bought, redeemed or had anything paid out: the broker has no keys of it to change";
        return Err(Failure::new(1, text));
    }
    if session.home.identity.former().len() >= MOST {
        let text = format!("the keys were changed {MOST} times, which is as often as they may be; make another home");
        return Err(Failure::new(4, text));
    }
    Ok(())
}
