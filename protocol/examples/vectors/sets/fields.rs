//! The fields of every layout, by their names in the specification.

use netpay_protocol::admin::Admin;
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::certificate::Certificate;
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, Purpose};
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::quote::{Quote, Receipt};
use netpay_protocol::redemption::{Head, RedemptionBatch, Statement};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::touchstone::{Guarantee, Touchstone};

use super::json::{Json, hex, list, object};

/// A layout whose fields can be told.
pub trait Fields: Layout {
    /// By name, in the layout's order.
    fn fields(&self) -> Json;
}

/// What travels of something signed, and what it says.
pub fn signed<L: Fields>(signed: &Signed<L>) -> Json {
    object! {
        "what" => L::WHAT,
        "fields" => signed.content.fields(),
        "layout" => hex(&signed.content.to_bytes()),
        "signature" => signed.signature,
    }
}

fn guarantee(guarantee: Guarantee) -> Json {
    match guarantee {
        Guarantee::Bearer => object! { "kind" => 0_u8, "payee" => Json::Text("0".repeat(32)) },
        Guarantee::Bound(payee) => object! { "kind" => 1_u8, "payee" => payee },
    }
}

pub fn head(head: Head) -> Json {
    object! { "position" => head.position, "hash" => head.hash }
}

impl Fields for Touchstone {
    fn fields(&self) -> Json {
        object! {
            "version" => 1_u8,
            "broker" => self.broker,
            "kid" => self.kid,
            "ecoin" => self.ecoin,
            "suite" => self.suite.number(),
            "root" => self.root,
            "n" => self.n,
            "unit_value" => self.unit_value,
            "payer" => self.payer,
            "payer_key" => self.payer_key,
            "payer_opened_at_ms" => self.payer_opened_at_ms,
            "issued_at_ms" => self.issued_at_ms,
            "spend_until_ms" => self.spend_until_ms,
            "redeem_until_ms" => self.redeem_until_ms,
            "guarantee" => guarantee(self.guarantee),
            "incarnation" => self.incarnation,
        }
    }
}

impl Fields for SignedIndex {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "ecoin" => self.ecoin,
            "from" => self.from,
            "to" => self.to,
            "payee" => self.payee,
            "order" => self.order,
        }
    }
}

impl Fields for BuyEcoins {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "payer" => self.payer,
            "request" => self.request,
            "valid_until_ms" => self.valid_until_ms,
            "count" => self.count,
            "n" => self.n,
            "suite" => self.suite.number(),
            "unit_value" => self.unit_value,
            "most_debited_units" => self.most_debited_units,
            "guarantee" => guarantee(self.guarantee),
        }
    }
}

impl Fields for SealedPaywords {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "kid" => self.kid,
            "payer" => self.payer,
            "request" => self.request,
            "wrapped_key" => hex(&self.wrapped_key),
            "ciphertext" => hex(&self.ciphertext),
        }
    }
}

impl Fields for RedemptionBatch {
    fn fields(&self) -> Json {
        let claims = self.claims.iter().map(|claim| {
            object! {
                "ecoin" => claim.index.content.ecoin,
                "from" => claim.index.content.from,
                "to" => claim.index.content.to,
                "payee" => claim.index.content.payee,
                "order" => claim.index.content.order,
                "signature" => claim.index.signature,
                "through" => claim.through,
                "word" => claim.word,
            }
        });
        object! {
            "broker" => self.broker,
            "payee" => self.payee,
            "request" => self.request,
            "seen" => head(self.seen),
            "claims" => list(claims),
        }
    }
}

impl Fields for Statement {
    fn fields(&self) -> Json {
        let lines = self.lines.iter().map(|line| {
            object! {
                "verdict" => line.verdict.number(),
                "credited" => line.credited,
                "already_paid" => line.already_paid,
                "conflicting" => line.conflicting,
            }
        });
        object! {
            "broker" => self.broker,
            "kid" => self.kid,
            "incarnation" => self.incarnation,
            "payee" => self.payee,
            "request" => self.request,
            "batch" => self.batch,
            "issued_at_ms" => self.issued_at_ms,
            "lines" => list(lines),
            "balance_units" => self.balance_units,
            "head" => head(self.head),
        }
    }
}

impl Fields for KeyList {
    fn fields(&self) -> Json {
        let keys = self.keys.iter().map(|key| {
            let purpose = match key.purpose {
                Purpose::Touchstone => 1_u8,
                Purpose::Statement => 2,
                Purpose::Notice => 3,
            };
            object! {
                "kid" => key.kid,
                "key" => key.key,
                "purpose" => purpose,
                "not_before_ms" => key.not_before_ms,
                "not_after_ms" => key.not_after_ms,
                "revoked_at_ms" => key.revoked_at_ms,
            }
        });
        object! {
            "broker" => self.broker,
            "incarnation" => self.incarnation,
            "seq" => self.seq,
            "issued_at_ms" => self.issued_at_ms,
            "next_at_ms" => self.next_at_ms,
            "keys" => list(keys),
        }
    }
}

impl Fields for RevocationList {
    fn fields(&self) -> Json {
        let peers = self.peers.iter().map(|(peer, since)| object! { "peer" => *peer, "suspended_at_ms" => *since });
        object! {
            "broker" => self.broker,
            "kid" => self.kid,
            "incarnation" => self.incarnation,
            "seq" => self.seq,
            "issued_at_ms" => self.issued_at_ms,
            "next_at_ms" => self.next_at_ms,
            "peers" => list(peers),
        }
    }
}

impl Fields for Register {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "signing_key" => self.signing_key,
            "sealing_key" => hex(&self.sealing_key),
            "nkey" => self.nkey,
        }
    }
}

impl Fields for Quote {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "content" => self.content,
            "size_bytes" => self.size_bytes,
            "chunk_bytes" => self.chunk_bytes,
            "first_chunk" => self.first_chunk,
            "chunk_count" => self.chunk_count,
            "price_units" => self.price_units,
            "payee" => self.payee,
            "expires_ms" => self.expires_ms,
            "nonce" => hex(&self.nonce),
        }
    }
}

impl Fields for Receipt {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "payee" => self.payee,
            "payer" => self.payer,
            "order" => self.order,
            "paid_units" => self.paid_units,
            "issued_at_ms" => self.issued_at_ms,
        }
    }
}

impl Fields for RequestPayout {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "peer" => self.peer,
            "request" => self.request,
            "valid_until_ms" => self.valid_until_ms,
            "amount_units" => self.amount_units,
            "destination" => self.destination.as_str(),
        }
    }
}

impl Fields for Query {
    fn fields(&self) -> Json {
        let (kind, about) = match self.question {
            Question::Balance => (1_u8, [0; 16]),
            Question::Statement(request) => (2, request.0),
            Question::Ecoins(after) => (3, after.0),
            Question::Payouts(after) => (4, after.0),
            Question::Certificate(peer) => (5, peer.0),
        };
        object! {
            "broker" => self.broker,
            "peer" => self.peer,
            "valid_until_ms" => self.valid_until_ms,
            "min_position" => self.min_position,
            "question" => kind,
            "about" => hex(&about),
        }
    }
}

impl Fields for Answer {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "kid" => self.kid,
            "about" => self.about,
            "issued_at_ms" => self.issued_at_ms,
            "body" => hex(&self.body),
        }
    }
}

impl Fields for Admin {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "kid" => self.kid,
            "request" => self.request,
            "valid_until_ms" => self.valid_until_ms,
            "order" => hex(&self.order),
        }
    }
}

impl Fields for Listing {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "supplier" => self.supplier,
            "content" => self.content,
            "size_bytes" => self.size_bytes,
            "price_units" => self.price_units,
            "issued_at_ms" => self.issued_at_ms,
            "expires_ms" => self.expires_ms,
            "name" => self.name.as_str(),
            "media_type" => self.media_type.as_str(),
            "tags" => self.tags.as_str(),
        }
    }
}

impl Fields for Withdraw {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "supplier" => self.supplier,
            "content" => self.content,
            "issued_at_ms" => self.issued_at_ms,
        }
    }
}

impl Fields for RotateKeys {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "peer" => self.peer,
            "request" => self.request,
            "valid_until_ms" => self.valid_until_ms,
            "register" => self.register,
        }
    }
}

impl Fields for Certificate {
    fn fields(&self) -> Json {
        object! {
            "broker" => self.broker,
            "kid" => self.kid,
            "peer" => self.peer,
            "signing_key" => self.signing_key,
            "given_up" => self.given_up,
            "issued_at_ms" => self.issued_at_ms,
        }
    }
}
