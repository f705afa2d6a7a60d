//! Operators' orders: signed by a key that the configuration lists, alive, and asked for once.

use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::ids::Kid;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::wire;

use super::{Checked, Entry, holds, wrong};
use crate::keys::operator_id;

impl Entry<'_> {
    /// What an operator ordered by the request of this record.
    pub(super) fn order(&mut self, order: &Signed<Admin>) -> Checked<Order> {
        let admin = &order.content;
        holds(admin.broker == self.trust.broker, "an order is for another broker")?;
        let key = self.trust.operators.iter().find(|key| Kid::of(key) == admin.kid).copied();
        let unknown = || wrong(format!("an order is by key {}, which the configuration does not list", admin.kid));
        let key = key.ok_or_else(unknown)?;
        self.asked_by(operator_id(&key), admin.request, admin.digest())?;
        self.alive(admin.valid_until_ms)?;
        let signed = order.clone();
        self.proofs.owe(self.at.position, move || {
            signed.verify(&key).map(|_| ()).map_err(|_| "an order is not signed by the operator it names".into())
        });
        wire::decode(&admin.order).map_err(|error| wrong(format!("an operator's order cannot be read: {error}")))
    }
}
