//! Payword chains (the paper, §5 and Fig. 2): making one from its seed, and holding a word against a root.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::amounts::PaywordIndex;
use crate::ids::EcoinId;
use crate::suite::{Payword, Suite};

/// The words W₀ … Wₙ of one chain. Holding it is holding the money.
#[derive(Clone)]
pub struct PaywordChain {
    suite: Suite,
    words: Vec<Payword>,
}

impl PaywordChain {
    /// The chain below its last word Wₙ, by n hash steps.
    pub fn below(suite: Suite, ecoin: &EcoinId, n: PaywordIndex, last: Payword) -> Self {
        let mut words = vec![last];
        let mut word = last;
        for i in (1..=n.0).rev() {
            word = suite.step(ecoin, PaywordIndex(i), &word);
            words.push(word);
        }
        words.reverse();
        Self { suite, words }
    }

    /// W₀.
    pub fn root(&self) -> Payword {
        self.words.first().copied().expect("a chain has at least its root")
    }

    /// W(i), or `None` past the chain's end.
    pub fn word(&self, i: PaywordIndex) -> Option<Payword> {
        self.words.get(usize::try_from(i.0).ok()?).copied()
    }

    /// The suite that made it.
    pub fn suite(&self) -> Suite {
        self.suite
    }
}

/// The broker's chain master key of one epoch: every seed is derived from it, and none is stored.
pub struct ChainMaster(Zeroizing<[u8; 32]>);

impl ChainMaster {
    /// Wraps the key; it is wiped from memory on drop.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Wₙ of the chain with this id. The seed is
    /// W(n+1) = HKDF-SHA-256(master, empty salt, "p2p-netpay/v1/chain" ‖ 0 ‖ suite ‖ u32be(n) ‖ IDe).
    pub fn last_word(&self, suite: Suite, ecoin: &EcoinId, n: PaywordIndex) -> Payword {
        let mut info = b"p2p-netpay/v1/chain\0".to_vec();
        info.push(suite.number());
        info.extend(n.0.to_be_bytes());
        info.extend(ecoin.0);
        let mut seed = [0; 32];
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand(&info, &mut seed[..suite.word_len()])
            .expect("32 bytes are far below HKDF's longest output");
        suite.step(ecoin, n.next(), &Payword::unchecked(seed))
    }
}

/// Whether W(i) leads to `root` in i steps. Costs i hashes; a word with padding that its suite does not have is refused.
pub fn reaches_root(suite: Suite, ecoin: &EcoinId, root: &Payword, i: PaywordIndex, word: &Payword) -> bool {
    reaches(suite, ecoin, (PaywordIndex(0), root), (i, word))
}

/// Whether the upper word leads down to the lower one. The paper's payment of one word costs one step.
pub fn reaches(
    suite: Suite,
    ecoin: &EcoinId,
    lower: (PaywordIndex, &Payword),
    upper: (PaywordIndex, &Payword),
) -> bool {
    let Ok(mut word) = suite.word(*upper.1.bytes()) else {
        return false;
    };
    if upper.0 < lower.0 {
        return false;
    }
    for i in (lower.0.next().0..=upper.0.0).rev() {
        word = suite.step(ecoin, PaywordIndex(i), &word);
    }
    word == *lower.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::from_hex;

    const ECOIN: EcoinId = EcoinId([7; 16]);

    fn chain(suite: Suite, n: u32) -> PaywordChain {
        let last = ChainMaster::new([3; 32]).last_word(suite, &ECOIN, PaywordIndex(n));
        PaywordChain::below(suite, &ECOIN, PaywordIndex(n), last)
    }

    #[test]
    fn every_word_reaches_the_root_and_no_word_does_from_another_position() {
        for suite in [Suite::Md5, Suite::Sha256] {
            let chain = chain(suite, 10);
            for i in 0..=10 {
                let word = chain.word(PaywordIndex(i)).expect("on the chain");
                assert!(reaches_root(suite, &ECOIN, &chain.root(), PaywordIndex(i), &word));
                assert!(!reaches_root(suite, &ECOIN, &chain.root(), PaywordIndex(i + 1), &word));
            }
            assert_eq!(chain.word(PaywordIndex(11)), None);
        }
    }

    #[test]
    fn a_sha256_word_is_bound_to_its_ecoin() {
        let chain = chain(Suite::Sha256, 4);
        let word = chain.word(PaywordIndex(4)).expect("on the chain");
        assert!(!reaches_root(Suite::Sha256, &EcoinId([8; 16]), &chain.root(), PaywordIndex(4), &word));
    }

    #[test]
    fn an_md5_word_with_other_padding_is_refused() {
        let chain = chain(Suite::Md5, 4);
        let mut bytes = *chain.word(PaywordIndex(4)).expect("on the chain").bytes();
        bytes[31] = 1;
        assert!(!reaches_root(Suite::Md5, &ECOIN, &chain.root(), PaywordIndex(4), &Payword::unchecked(bytes)));
    }

    /// RFC 1321's test suite: MD5 of a 16-byte message is not in it, so the step is held against a value computed with
    /// another implementation (`printf 00…00 | xxd -r -p | md5sum`).
    #[test]
    fn the_md5_step_is_plain_md5_over_sixteen_raw_bytes() {
        let zero = Suite::Md5.word([0; 32]).expect("zeros");
        let next = Suite::Md5.step(&ECOIN, PaywordIndex(1), &zero);
        assert_eq!(next.bytes()[..16], from_hex::<16>("4ae71336e44bf9bf79d2752e234818a5").expect("hex"));
    }

    #[test]
    fn the_seed_depends_on_suite_length_and_ecoin() {
        let master = ChainMaster::new([3; 32]);
        let base = master.last_word(Suite::Sha256, &ECOIN, PaywordIndex(4));
        assert_ne!(base, master.last_word(Suite::Sha256, &ECOIN, PaywordIndex(5)));
        assert_ne!(base, master.last_word(Suite::Sha256, &EcoinId([8; 16]), PaywordIndex(4)));
        // An md5 step does not know its e-coin or position: here the seed alone must differ.
        let base = master.last_word(Suite::Md5, &ECOIN, PaywordIndex(4));
        assert_ne!(base, master.last_word(Suite::Md5, &EcoinId([8; 16]), PaywordIndex(4)));
        assert_ne!(base, master.last_word(Suite::Md5, &ECOIN, PaywordIndex(5)));
    }
}
