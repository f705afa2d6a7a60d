//! How much more may be paid for a file, after what was paid for it already, to whomever.
//!
//! Pure arithmetic on orders and one quote, so that the ceiling of a download can be read, and tested, in one place.

use std::collections::BTreeSet;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::quote::{self, Quote};

use crate::ports::OutOrder;

/// What was paid for a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spent {
    /// In all, with what is on its way.
    pub units: Units,
    /// To how many suppliers.
    pub suppliers: u64,
    /// What the whole costs at the price that was agreed with the dearest of them.
    pub agreed: Units,
}

impl Spent {
    /// On these orders.
    pub fn on(orders: &[OutOrder]) -> Self {
        let paid = || orders.iter().filter(|order| order.sent > Units::ZERO);
        let suppliers: BTreeSet<PeerId> = paid().map(|order| order.quote.content.payee).collect();
        Self {
            units: Units(paid().fold(0, |sum, order| order.sent.0.saturating_add(sum))),
            suppliers: u64::try_from(suppliers.len()).unwrap_or(u64::MAX),
            agreed: paid().map(|order| price_of_whole(&order.quote.content)).max().unwrap_or_default(),
        }
    }

    /// The most to be paid for a quote; or why it is too dear. `max_price` is what the person said, for all together;
    /// `listed` is what the supplier's listing says of the whole.
    pub fn most_for(&self, quote: &Quote, max_price: Option<Units>, listed: Option<Units>) -> Result<Units, String> {
        let price = quote.price_units;
        let sum = Units(self.units.0.saturating_add(price.0));
        if let Some(max) = max_price {
            return if sum <= max { Ok(max.saturating_sub(self.units)) } else { Err(too_dear(price, self.units, max)) };
        }
        let Some(listed) = listed else {
            return Err(format!(
                "the supplier asks {price} units, and the index has no listing of its to compare; allow it with --max-price {sum}"
            ));
        };
        let said = quote::price_of_part(listed, quote.chunk_count, quote.chunks());
        if price > said {
            return Err(format!(
                "the supplier asks {price} units, and its listing says {said}; allow it with --max-price {sum}"
            ));
        }
        // What was agreed at first holds for the whole, whoever brings the rest.
        if self.suppliers > 0 && sum > self.ceiling(quote.chunks()) {
            return Err(format!(
                "the supplier asks {price} units for the rest, and with the {} paid already that is more than was agreed; allow it with --max-price {sum}",
                self.units
            ));
        }
        Ok(price)
    }

    /// What may be spent in all without asking the person: what was agreed for the whole, and for each supplier that is
    /// left what it may have taken without bringing anything, and a part's rounding.
    fn ceiling(&self, chunks: u64) -> Units {
        let lost = self.agreed.0.div_ceil(chunks.max(1)).saturating_add(1);
        Units(self.agreed.0.saturating_add(lost.saturating_mul(self.suppliers)))
    }
}

/// What all chunks cost at a quote's price.
fn price_of_whole(quote: &Quote) -> Units {
    let whole = u128::from(quote.price_units.0) * u128::from(quote.chunks());
    Units(u64::try_from(whole.div_ceil(u128::from(quote.chunk_count.max(1)))).unwrap_or(u64::MAX))
}

/// Why a price is not paid that is above what the person said.
pub fn too_dear(price: Units, elsewhere: Units, max: Units) -> String {
    let already =
        if elsewhere > Units::ZERO { format!(" besides the {elsewhere} paid already") } else { String::new() };
    format!("it costs {price} units{already}, more than --max-price {max}; nothing was paid now")
}

#[cfg(test)]
mod tests {
    use netpay_protocol::ids::{BrokerId, ContentId};

    use super::*;

    fn quote(chunk_count: u64, price: u64) -> Quote {
        Quote {
            broker: BrokerId::default(),
            content: ContentId::default(),
            size_bytes: 65_536 * 10,
            chunk_bytes: 65_536,
            first_chunk: 10 - chunk_count,
            chunk_count,
            price_units: Units(price),
            payee: PeerId::default(),
            expires_ms: 0,
            nonce: [0; 16],
        }
    }

    #[test]
    fn a_quote_is_compared_with_what_the_person_said_or_else_with_its_part_of_the_listing() {
        let nothing = Spent::on(&[]);
        for (max_price, listed, quote, most) in [
            (Some(5), None, quote(10, 5), Some(5)),
            (Some(9), Some(1), quote(10, 5), Some(9)),
            (Some(4), Some(9), quote(10, 5), None),
            (None, Some(5), quote(10, 5), Some(5)),
            (None, Some(5), quote(10, 6), None),
            (None, Some(20), quote(5, 10), Some(10)),
            (None, Some(20), quote(5, 11), None),
            (None, None, quote(10, 1), None),
        ] {
            let agreed = nothing.most_for(&quote, max_price.map(Units), listed.map(Units));
            assert_eq!(agreed.as_ref().ok(), most.map(Units).as_ref(), "{agreed:?}");
        }
    }

    #[test]
    fn what_was_paid_counts_and_only_what_a_supplier_may_have_taken_for_nothing_comes_on_top() {
        let spent = Spent { units: Units(12), suppliers: 1, agreed: Units(20) };
        // 20 were agreed for ten chunks: two for a chunk that was paid and did not come, and one for rounding.
        for (price, max_price, agreed) in
            [(11, None, true), (12, None, false), (8, Some(20), true), (9, Some(20), false)]
        {
            let result = spent.most_for(&quote(5, price), max_price.map(Units), Some(Units(1_000)));
            assert_eq!(result.is_ok(), agreed, "{price}: {result:?}");
        }
        assert_eq!(spent.most_for(&quote(5, 8), Some(Units(25)), None), Ok(Units(13)), "what is left of it");
    }
}
