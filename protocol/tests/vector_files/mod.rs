//! Reading the files of vectors, and decoding by the names that stand in them. Knows nothing of how they are made.

#![allow(dead_code)] // the ledger's tests read them too, and use their part

use std::path::Path;

use minicbor::{Decode, Encode};
use netpay_protocol::admin::{self, AccountView, DoubleSpendView, EcoinView, LedgerView, Page};
use netpay_protocol::ids::{EcoinId, from_hex};
use netpay_protocol::layout::{Layout, Malformed};
use netpay_protocol::messages as m;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire::{self, NotAMessage};
use netpay_protocol::{
    buy, certificate, index, key_list, listing, payment, payout, problem, query, quote, redemption, register,
};
use netpay_protocol::{revocation, touchstone};
use serde_json::Value;

/// One vector, or an object within one.
#[derive(Clone)]
pub struct Vector(Value);

/// Those of a file.
pub fn vectors(file: &str) -> Vec<Vector> {
    // From whichever crate this is read.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|root| root.join("protocol/test-data/vectors"));
    let folder = folders.into_iter().find(|folder| folder.is_dir()).expect("the workspace has the vectors");
    let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).expect("a file of vectors");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let vectors = Vector(file).list("vectors");
    assert!(!vectors.is_empty());
    vectors
}

impl Vector {
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("no text {field} in {}", self.0))
    }

    pub fn name(&self) -> &str {
        self.text("name")
    }

    pub fn flag(&self, field: &str) -> bool {
        self.0[field].as_bool().unwrap_or_else(|| panic!("no flag {field} in {}", self.0))
    }

    pub fn number(&self, field: &str) -> Option<u64> {
        self.0[field].as_u64()
    }

    pub fn small(&self, field: &str) -> u32 {
        let number = self.number(field).and_then(|number| u32::try_from(number).ok());
        number.unwrap_or_else(|| panic!("no number {field} in {}", self.0))
    }

    pub fn bytes(&self, field: &str) -> Vec<u8> {
        let text = self.text(field).as_bytes();
        let pair = |pair: &[u8]| from_hex::<1>(std::str::from_utf8(pair).expect("ASCII")).expect("hex")[0];
        assert!(text.len().is_multiple_of(2), "{field}");
        text.chunks(2).map(pair).collect()
    }

    pub fn fixed<const N: usize>(&self, field: &str) -> [u8; N] {
        from_hex(self.text(field)).expect("hex of this length")
    }

    pub fn is_null(&self, field: &str) -> bool {
        self.0[field].is_null()
    }

    pub fn object(&self, field: &str) -> Self {
        Self(self.0[field].clone())
    }

    pub fn list(&self, field: &str) -> Vec<Self> {
        let items = self.0[field].as_array().unwrap_or_else(|| panic!("no list {field} in {}", self.0));
        items.iter().cloned().map(Self).collect()
    }

    pub fn numbers(&self, field: &str) -> Vec<u64> {
        let items = self.0[field].as_array().unwrap_or_else(|| panic!("no list {field} in {}", self.0));
        items.iter().map(|item| item.as_u64().expect("a number")).collect()
    }

    pub fn suite(&self) -> Suite {
        self.text("suite").parse().expect("a suite")
    }

    pub fn ecoin(&self) -> EcoinId {
        EcoinId(self.fixed("ecoin"))
    }
}

fn layout<L: Layout>(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    L::from_bytes(bytes).map(|value| value.to_bytes()).map_err(|error| match error {
        Malformed::Tag(_) => "tag",
        Malformed::Truncated => "truncated",
        Malformed::Trailing => "trailing",
        Malformed::TooLong(_) => "too_long",
        Malformed::Value(_) => "value",
    })
}

fn message<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    wire::decode::<T>(bytes).map(|value| wire::encode(&value)).map_err(|error| match error {
        NotAMessage::TooLarge(_) => "too_large",
        NotAMessage::Shape(_) => "shape",
        NotAMessage::Trailing => "trailing",
        NotAMessage::NotCanonical => "not_canonical",
    })
}

/// Reads a layout by its `what`, and writes it back.
pub fn decode_layout(what: &str, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    match what {
        "register" => layout::<register::Register>(bytes),
        "keys" => layout::<key_list::KeyList>(bytes),
        "revoked" => layout::<revocation::RevocationList>(bytes),
        "buy" => layout::<buy::BuyEcoins>(bytes),
        "sealed-paywords" => layout::<buy::SealedPaywords>(bytes),
        "touchstone" => layout::<touchstone::Touchstone>(bytes),
        "index" => layout::<index::SignedIndex>(bytes),
        "quote" => layout::<quote::Quote>(bytes),
        "receipt" => layout::<quote::Receipt>(bytes),
        "batch" => layout::<redemption::RedemptionBatch>(bytes),
        "statement" => layout::<redemption::Statement>(bytes),
        "query" => layout::<query::Query>(bytes),
        "answer" => layout::<query::Answer>(bytes),
        "payout" => layout::<payout::RequestPayout>(bytes),
        "admin" => layout::<admin::Admin>(bytes),
        "listing" => layout::<listing::Listing>(bytes),
        "withdraw" => layout::<listing::Withdraw>(bytes),
        "rotate" => layout::<register::RotateKeys>(bytes),
        "certificate" => layout::<certificate::Certificate>(bytes),
        _ => panic!("no layout {what}"),
    }
}

/// Reads a message by its name, and writes it back.
pub fn decode_message(name: &str, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    match name {
        "Account" => message::<m::Account>(bytes),
        "SignedKeyList" => message::<key_list::SignedKeyList>(bytes),
        "Buy" => message::<m::Buy>(bytes),
        "Sold" => message::<m::Sold>(bytes),
        "Redeem" => message::<m::Redeem>(bytes),
        "Ask" => message::<m::Ask>(bytes),
        "Withdrawal" => message::<m::Withdrawal>(bytes),
        "Rotate" => message::<m::Rotate>(bytes),
        "AskQuote" => message::<m::AskQuote>(bytes),
        "Quoted" => message::<m::Quoted>(bytes),
        "Pay" => message::<payment::Pay>(bytes),
        "Paid" => message::<m::Paid>(bytes),
        "AskChunk" => message::<m::AskChunk>(bytes),
        "Chunk" => message::<m::Chunk>(bytes),
        "AskReceipt" => message::<m::AskReceipt>(bytes),
        "Announce" => message::<m::Announce>(bytes),
        "TakeBack" => message::<m::TakeBack>(bytes),
        "Search" => message::<m::Search>(bytes),
        "Hits" => message::<m::Hits>(bytes),
        "Done" => message::<m::Done>(bytes),
        "Problem" => message::<problem::Problem>(bytes),
        "Order" => message::<admin::Order>(bytes),
        "AccountView" => message::<AccountView>(bytes),
        "Page<AccountView>" => message::<Page<AccountView>>(bytes),
        "EcoinView" => message::<EcoinView>(bytes),
        "DoubleSpendView" => message::<DoubleSpendView>(bytes),
        "LedgerView" => message::<LedgerView>(bytes),
        "OwnEcoin" => message::<query::OwnEcoin>(bytes),
        "PayoutView" => message::<payout::PayoutView>(bytes),
        _ => panic!("no message {name}"),
    }
}
