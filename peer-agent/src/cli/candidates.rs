//! Who may supply a content, in the order in which they are asked: what ticket, index and earlier orders say.
//!
//! Believes nobody: what is found here is a name to save under, and a price to compare a quote with.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::listing::Listing;

use super::failure::Failure;
use super::search;
use super::session::Session;
use crate::getting::ticket::{PREFIX, Ticket};
use crate::net::Net;
use crate::ports::OutOrders as _;

/// How often, and how long apart, the index is asked for a listing that it does not have yet.
const LOOKUPS: u32 = 11;
const LOOKUP_EVERY: Duration = Duration::from_millis(500);

/// What is wanted: a content by its id, or by a ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The content.
    pub content: ContentId,
    /// The ticket, if it was one.
    pub ticket: Option<Ticket>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with(PREFIX) {
            let ticket: Ticket = text.parse().map_err(|error: crate::getting::ticket::NotATicket| error.to_string())?;
            return Ok(Self { content: ticket.content, ticket: Some(ticket) });
        }
        match text.parse() {
            Ok(content) => Ok(Self { content, ticket: None }),
            Err(error) => Err(format!("neither a ticket ({PREFIX}…) nor a content id: {error}")),
        }
    }
}

/// One who may supply it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Who.
    pub peer: PeerId,
    /// The price of the whole, as its listing or the ticket says.
    pub listed: Option<Units>,
}

/// Who may supply it, best first.
pub struct Found {
    /// They.
    pub queue: VecDeque<Candidate>,
    /// What it is called.
    pub name: Option<String>,
    /// Whether the index was asked, or is not to be.
    pub is_all: bool,
}

/// Where to look.
pub struct Looking<'a> {
    /// The wallet.
    pub session: &'a Session,
    /// The connection.
    pub net: &'a Net,
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// The only one who may supply it.
    pub from: Option<PeerId>,
}

impl Looking<'_> {
    /// Those to begin with. The index is not asked for what is known without: `needs_name` and `needs_price` say what is.
    pub async fn first(&self, needs_name: bool, needs_price: bool) -> Result<Found, Failure> {
        let ticket = self.wanted.ticket.as_ref();
        let begun = self.begun()?;
        let Some(peer) = self.from else {
            let Some(ticket) = ticket else { return self.listed(&begun).await };
            let first = Candidate { peer: ticket.supplier, listed: ticket.price };
            return Ok(Found { queue: [first].into(), name: ticket.name.clone(), is_all: false });
        };
        let ticket = ticket.filter(|ticket| ticket.supplier == peer);
        let (mut listed, mut name) = (ticket.and_then(|t| t.price), ticket.and_then(|t| t.name.clone()));
        let needs_price = needs_price && listed.is_none() && !begun.contains(&peer);
        if needs_price || (needs_name && name.is_none()) {
            // What was shared just now is announced just now.
            let lookups = if needs_price { LOOKUPS } else { 1 };
            if let Some(listing) = self.listing_of(peer, lookups).await {
                listed = listed.or(Some(listing.price_units));
                name = name.or(Some(listing.name));
            }
        }
        Ok(Found { queue: [Candidate { peer, listed }].into(), name, is_all: true })
    }

    /// Those that the index lists, and those with whom an order was begun.
    pub async fn rest(&self) -> Result<Found, Failure> {
        self.listed(&self.begun()?).await
    }

    async fn listed(&self, begun: &[PeerId]) -> Result<Found, Failure> {
        let me = self.session.home.identity.peer();
        let mut hits = match search::ask(self.session, self.net, self.wanted.content.to_string(), 0, 100).await {
            Ok((hits, _)) => hits,
            // Without the index there are still those who know the order.
            Err(failure) if begun.is_empty() => return Err(failure),
            Err(_) => Vec::new(),
        };
        hits.retain(|(listing, _)| listing.content == self.wanted.content && listing.supplier != me);
        hits.sort_by_key(|(listing, online)| (!online, !begun.contains(&listing.supplier), listing.price_units));
        let known =
            |(listing, _): &(Listing, bool)| Candidate { peer: listing.supplier, listed: Some(listing.price_units) };
        let mut queue: VecDeque<Candidate> = hits.iter().map(known).collect();
        let is_listed = |peer: &PeerId| hits.iter().any(|(listing, _)| listing.supplier == *peer);
        queue.extend(begun.iter().filter(|peer| !is_listed(peer)).map(|peer| Candidate { peer: *peer, listed: None }));
        Ok(Found { queue, name: hits.into_iter().next().map(|(listing, _)| listing.name), is_all: true })
    }

    /// Those with whom an order was begun.
    fn begun(&self) -> Result<Vec<PeerId>, Failure> {
        let orders = self.session.store.read(|tx| tx.begun_out_orders(self.wanted.content))?;
        Ok(orders.iter().map(|order| order.quote.content.payee).collect())
    }

    async fn listing_of(&self, peer: PeerId, lookups: u32) -> Option<Listing> {
        let content = self.wanted.content;
        for attempt in 0..lookups {
            if attempt > 0 {
                tokio::time::sleep(LOOKUP_EVERY).await;
            }
            let Ok((hits, _)) = search::ask(self.session, self.net, content.to_string(), 0, 100).await else {
                continue;
            };
            let ours = |(listing, _): &(Listing, bool)| listing.content == content && listing.supplier == peer;
            if let Some((listing, _)) = hits.into_iter().find(ours) {
                return Some(listing);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_a_content_id_or_a_ticket_with_blanks_around() {
        let ticket = Ticket {
            content: ContentId([3; 32]),
            supplier: PeerId([4; 16]),
            size_bytes: None,
            price: None,
            name: None,
        };
        let wanted: Wanted = format!(" {ticket}\n").parse().expect("a ticket");
        assert_eq!(wanted, Wanted { content: ContentId([3; 32]), ticket: Some(ticket) });
        assert_eq!("03".repeat(32).parse(), Ok(Wanted { content: ContentId([3; 32]), ticket: None }));
        assert!("netpay:abc".parse::<Wanted>().is_err_and(|error| error.contains("damaged")));
        assert!("song".parse::<Wanted>().is_err_and(|error| error.contains("content id")));
    }
}
