//! Last words at rest: who has the file and not the key has no e-coin.
//!
//! A last word is all the unspent words of its chain, so it is sealed with a key that lies among the peer's own, bound
//! to its e-coin. What was accepted or granted is bound to its payee by a signature and needs no secrecy. A wallet of a
//! home that never had a passphrase has no such key, and clear words; both forms are told apart by their length.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use netpay_crash_point::agent::Point;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::suite::Payword;
use rand_core::Rng as _;
use rusqlite::params;
use zeroize::Zeroizing;

use super::{Store, Tx};
use crate::home::identity::os_rng;
use crate::ports::{Slot, Slots as _, StoreError, Stored};

const NONCE: usize = 12;
const CLEAR: i64 = 32;

/// The key of the last words; wiped from memory on drop.
#[derive(Clone)]
pub struct WordKey(Zeroizing<[u8; 32]>);

impl WordKey {
    /// The key with these bytes.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Draws a new one.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        os_rng().fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Its bytes, to be kept in a key file.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.0))
    }

    fn seal(&self, ecoin: EcoinId, last: &Payword) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        os_rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: last.bytes().as_slice(), aad: &ecoin.0 };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).expect("a word is short");
        [nonce.as_slice(), &sealed].concat()
    }

    fn open(&self, ecoin: EcoinId, sealed: &[u8]) -> Option<Payword> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: &ecoin.0 };
        let word = Zeroizing::new(self.cipher().decrypt(&Nonce::from(*nonce), payload).ok()?);
        word.as_slice().try_into().ok().map(Payword::unchecked)
    }
}

impl Tx<'_> {
    /// The column's bytes for a last word.
    pub(super) fn sealed_last(&self, ecoin: EcoinId, last: &Payword) -> Vec<u8> {
        match self.1 {
            Some(key) => key.seal(ecoin, last),
            None => last.bytes().to_vec(),
        }
    }

    /// The last word in a column's bytes.
    pub(super) fn opened_last(&self, ecoin: EcoinId, bytes: &[u8]) -> Stored<Payword> {
        if let Ok(clear) = bytes.try_into() {
            return Ok(Payword::unchecked(clear));
        }
        let open = self.1.and_then(|key| key.open(ecoin, bytes));
        open.ok_or_else(|| {
            StoreError::damaged(format!("the words of e-coin {ecoin} do not open with this home's keys"))
        })
    }
}

impl Store {
    /// The same connection, with the key of the last words. Those that still lie clear are sealed now.
    pub fn with_word_key(mut self, key: WordKey) -> Stored<Self> {
        self.1 = Some(key);
        self.seal_clear_words()?;
        if self.read(|tx| tx.slot(Slot::ClearRemains))?.is_some_and(|mark| !mark.is_empty())
            && let Err(error) = self.wipe()
        {
            tracing::warn!(%error, "clear words may remain in the wallet's file until it is opened again");
        }
        Ok(self)
    }

    fn seal_clear_words(&self) -> Stored<()> {
        let clear = "SELECT ecoin, last FROM ecoins WHERE length(last) = ?";
        let row = |row: &rusqlite::Row<'_>| Ok((EcoinId(row.get("ecoin")?), Payword::unchecked(row.get("last")?)));
        if self.read(|tx| tx.row(clear, [CLEAR], row))?.is_none() {
            return Ok(());
        }
        self.write(|tx| {
            for (ecoin, last) in tx.rows(clear, [CLEAR], row)? {
                tx.run("UPDATE ecoins SET last = ? WHERE ecoin = ?", params![tx.sealed_last(ecoin, &last), ecoin.0])?;
            }
            // Whoever opens it next goes on, if this process does not come so far as to wipe it.
            tx.put_slot(Slot::ClearRemains, b"yes")
        })
    }

    /// Leaves no clear word behind in the file's unused parts or its journal.
    fn wipe(&self) -> Stored<()> {
        self.0.execute_batch("VACUUM")?;
        let is_busy: bool = self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Point::WordsSealed.reached();
        if is_busy { Ok(()) } else { self.write(|tx| tx.put_slot(Slot::ClearRemains, b"")) }
    }
}

#[cfg(test)]
mod tests {
    use netpay_protocol::suite::Suite;

    use super::*;
    use crate::ports::Coins as _;
    use crate::tests::broker::TestBroker;
    use crate::tests::trade::{Peer, chain_of};

    fn contains(dir: &std::path::Path, word: &[u8]) -> bool {
        std::fs::read_dir(dir).expect("there").any(|file| {
            let bytes = std::fs::read(file.expect("there").path()).expect("readable");
            bytes.windows(word.len()).any(|window| window == word)
        })
    }

    #[test]
    fn who_has_the_file_and_not_the_key_finds_no_word_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wallet.sqlite");
        let (broker, mut alice, key) = (TestBroker::new(), Peer::new(1), WordKey::generate());
        alice.store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
        let old = alice.buy(&broker, chain_of(50, Suite::Sha256)).remove(0).ecoin;
        let last = |store: &Store, id| store.read(|tx| tx.ecoin(id)).map(|ecoin| ecoin.expect("there").last);
        let word = last(&alice.store, old).expect("clear");
        assert!(contains(dir.path(), word.bytes()), "the search finds what is there");

        alice.store = Store::open(&path).and_then(|store| store.with_word_key(key.clone())).expect("sealed");
        assert!(!contains(dir.path(), word.bytes()), "an old word");
        assert_eq!(last(&alice.store, old).expect("opens"), word);
        let new = alice.buy(&broker, chain_of(50, Suite::Md5)).remove(0).ecoin;
        let word = last(&alice.store, new).expect("opens");
        assert!(!contains(dir.path(), &word.bytes()[..16]), "a new word");

        let without = Store::open(&path).expect("opens");
        assert!(last(&without, old).is_err(), "no key");
        let other = Store::open(&path).and_then(|store| store.with_word_key(WordKey::generate())).expect("opens");
        assert!(last(&other, old).is_err(), "another key");
    }

    #[test]
    fn clear_words_that_a_crash_left_in_the_journal_go_with_the_next_opening() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wallet.sqlite");
        let (broker, mut alice, key) = (TestBroker::new(), Peer::new(1), WordKey::generate());
        alice.store = Store::open_beginning(&path, |_| Ok(())).expect("opens");
        let ecoin = alice.buy(&broker, chain_of(50, Suite::Sha256)).remove(0).ecoin;
        let word = alice.store.read(|tx| tx.ecoin(ecoin)).expect("clear").expect("there").last;
        let mut crashed = Store::open(&path).expect("opens");
        crashed.1 = Some(key.clone());
        crashed.seal_clear_words().expect("sealed");
        assert!(contains(dir.path(), word.bytes()), "it came no further");
        let opened = Store::open(&path).and_then(|store| store.with_word_key(key)).expect("opens");
        assert!(!contains(dir.path(), word.bytes()));
        assert!(opened.read(|tx| tx.slot(Slot::ClearRemains)).expect("read").is_some_and(|mark| mark.is_empty()));
    }

    #[test]
    fn a_sealed_word_opens_for_its_own_ecoin_only() {
        let (key, word) = (WordKey::generate(), Payword::unchecked([7; 32]));
        let sealed = key.seal(EcoinId([1; 16]), &word);
        assert_eq!(key.open(EcoinId([1; 16]), &sealed), Some(word));
        assert_eq!(key.open(EcoinId([2; 16]), &sealed), None);
        assert_ne!(key.seal(EcoinId([1; 16]), &word), sealed);
    }
}
