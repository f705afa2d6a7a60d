//! What `netpay serve` does unasked: redeems on schedule, and says when payments stop and start again.
//!
//! One [`Steward::look`] is one look at the till; whoever calls it decides how often. Says a thing when it changes, not
//! each time. Knows the broker as a port, and never keeps anybody who pays waiting: it has a connection of its own.

use netpay_protocol::limits::HOUR_MS;

use crate::errands::{Errands, Error, Redeemed};
use crate::ports::{Broker, StoreError};
use crate::till::policy::Policy;
use crate::till::readiness::Readiness;
use crate::till::redeeming::{self, Which};
use crate::till::schedule::{self, Schedule, Why};
use crate::wallet::broker_lists;

/// See the module.
pub struct Steward {
    schedule: Schedule,
    policy: Policy,
    random: fn() -> u64,
    /// Drawn once for each redemption.
    drawn: u64,
    /// Redemptions in a row after which something was still due.
    failures: u32,
    not_before_ms: u64,
    /// Whether the person was told that redeeming fails.
    told: bool,
    readiness: Readiness,
}

impl Steward {
    /// One that has said nothing yet.
    pub fn new(schedule: Schedule, policy: Policy, random: fn() -> u64) -> Self {
        let readiness = Readiness::Ready;
        Self { schedule, policy, random, drawn: random(), failures: 0, not_before_ms: 0, told: false, readiness }
    }

    /// Looks once, and redeems if it is time. Answers what the person should hear.
    pub async fn look<B: Broker>(&mut self, errands: &Errands<'_, B>) -> Vec<String> {
        let mut say = Vec::new();
        match self.watch(errands) {
            Ok(news) => say.extend(news),
            Err(error) => tracing::error!(%error, "the broker's lists cannot be read"),
        }
        match self.redeem(errands).await {
            Ok(news) => say.extend(news),
            Err(error) => say.extend(self.failed(&error, (errands.now_ms)())),
        }
        say
    }

    /// What changed about taking payments.
    fn watch<B: Broker>(&mut self, errands: &Errands<'_, B>) -> Result<Option<String>, StoreError> {
        let now_ms = (errands.now_ms)();
        let readiness = errands.store.read(|tx| {
            let keys = broker_lists::keys(tx, errands.broker)?;
            let revoked = match &keys {
                Some(keys) => broker_lists::revoked(tx, keys, now_ms)?,
                None => None,
            };
            Ok::<_, StoreError>(Readiness::of(keys.as_ref(), revoked.as_ref(), &self.policy, now_ms))
        })?;
        let before = std::mem::replace(&mut self.readiness, readiness);
        Ok(match readiness {
            now if now == before => None,
            Readiness::Ready => Some("payments are taken again".into()),
            now => Some(now.text(&self.policy)),
        })
    }

    async fn redeem<B: Broker>(&mut self, errands: &Errands<'_, B>) -> Result<Vec<String>, Error> {
        if errands.store.read(|tx| redeeming::is_restored(tx))? {
            errands.store.write(|tx| redeeming::ask_again(tx, (errands.now_ms)()))?;
        }
        let Some(why) = self.due(errands)? else { return Ok(Vec::new()) };
        let done = errands.redeem(Which::Unsettled).await?;
        let credited = done.iter().flat_map(|batch| &batch.lines).any(|line| line.credited.0 > 0);
        let mut say = Vec::new();
        if credited || self.failures == 0 {
            say.push(report(&done, why));
        }
        if done.iter().any(|batch| batch.restored) {
            say.push("the broker was restored from a backup: what it had paid was asked for again".into());
        }
        (self.told, self.not_before_ms, self.drawn) = (false, 0, (self.random)());
        // What the broker does not settle now, it will not settle in a moment either.
        match self.due(errands)? {
            None => self.failures = 0,
            Some(_) => self.wait((errands.now_ms)()),
        }
        Ok(say)
    }

    /// Whether it is time, and why.
    fn due<B: Broker>(&self, errands: &Errands<'_, B>) -> Result<Option<Why>, StoreError> {
        let now_ms = (errands.now_ms)();
        // No pause is longer: what lies further ahead was meant before the clock was set back.
        let pause_ms = self.not_before_ms.saturating_sub(now_ms);
        if (1..2 * HOUR_MS).contains(&pause_ms) {
            return Ok(None);
        }
        let (held, again) =
            errands.store.read(|tx| Ok::<_, StoreError>((redeeming::held(tx)?, redeeming::asks_again(tx)?)))?;
        if again {
            return Ok(Some(Why::Restored));
        }
        let when = held.and_then(|held| schedule::when(&held, &self.schedule, self.drawn));
        Ok(when.filter(|(at_ms, _)| *at_ms <= now_ms).map(|(_, why)| why))
    }

    fn failed(&mut self, error: &Error, now_ms: u64) -> Option<String> {
        self.wait(now_ms);
        let text = format!("redeeming failed and is tried again, a little later each time: {error}");
        (!std::mem::replace(&mut self.told, true)).then_some(text)
    }

    fn wait(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let pause = schedule::pause(self.failures, (self.random)());
        self.not_before_ms = now_ms.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
    }
}

fn report(done: &[Redeemed], why: Why) -> String {
    let credited: u64 = done.iter().flat_map(|batch| &batch.lines).map(|line| line.credited.0).sum();
    let lost: u64 = done.iter().flat_map(|batch| &batch.lines).map(|line| u64::from(line.line.conflicting.0)).sum();
    let balance = done.last().map_or(String::new(), |last| format!("; balance {} units", last.statement.balance_units));
    let lost = if lost > 0 { format!("; {lost} words were lost to double spending") } else { String::new() };
    format!("redeemed, since {}: {credited} units credited{lost}{balance}", why.text())
}
