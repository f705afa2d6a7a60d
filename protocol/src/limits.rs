//! Every limit of the protocol (DESIGN §10), with the relations between them checked at compile time.

/// The longest chain, in paywords.
pub const MAX_CHAIN_LENGTH: u32 = 4_096;
/// The chain length when the buyer does not say.
pub const DEFAULT_CHAIN_LENGTH: u32 = 256;
/// Chains in one purchase.
pub const MAX_CHAINS_PER_PURCHASE: u32 = 256;
/// Paywords in one purchase, over all chains.
pub const MAX_WORDS_PER_PURCHASE: u32 = 1 << 20;
/// Claims in one redemption batch.
pub const MAX_CLAIMS_PER_BATCH: u32 = 2_048;
/// Σ `through` over the claims of one batch: the hash steps that one message can ask for.
pub const MAX_STEPS_PER_BATCH: u64 = 1 << 20;
/// The largest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1_000_000;
/// Touchstones that one redemption may bring along.
pub const MAX_TOUCHSTONES_PER_BATCH: u32 = 256;
/// Keys in a key list.
pub const MAX_KEYS: u32 = 1_024;
/// Peers in one revocation list.
pub const MAX_REVOKED: u32 = 32_768;
/// The longest life of a request that moves money out, in milliseconds (24 h).
pub const MAX_REQUEST_LIFE_MS: u64 = 24 * HOUR_MS;
/// The longest time between two key lists, in milliseconds (90 days).
pub const MAX_KEY_LIST_LIFE_MS: u64 = 90 * DAY_MS;
/// The least time a payee has to redeem after an e-coin's last payment, in milliseconds (7 days).
pub const MIN_REDEEM_WINDOW_MS: u64 = 7 * DAY_MS;
/// RSA moduli accepted, in bits.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// The longest encoded RSA public key (SubjectPublicKeyInfo), in bytes.
pub const MAX_SEALING_KEY_BYTES: u32 = 1_024;
/// The smallest and largest content chunk, in bytes.
pub const CHUNK_BYTES: std::ops::RangeInclusive<u32> = 65_536..=131_072;
/// The longest name in a listing, in bytes of UTF-8.
pub const MAX_NAME_BYTES: u32 = 255;
/// The longest media type, in bytes.
pub const MAX_MEDIA_TYPE_BYTES: u32 = 127;
/// The longest list of tags (separated by spaces), in bytes.
pub const MAX_TAGS_BYTES: u32 = 512;
/// The longest life of a listing, in milliseconds (a day).
pub const MAX_LISTING_LIFE_MS: u64 = DAY_MS;
/// The longest search text, in bytes.
pub const MAX_SEARCH_BYTES: usize = 256;
/// Answers in one page of a search.
pub const MAX_SEARCH_RESULTS: u32 = 100;
/// The longest external reference of a deposit, in bytes.
pub const MAX_REFERENCE_BYTES: usize = 128;
/// The longest reason an operator may give, in bytes.
pub const MAX_REASON_BYTES: usize = 512;

/// The longest destination of a payout, in bytes.
pub const MAX_DESTINATION_BYTES: u32 = 256;

/// One hour, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;
/// One day, in milliseconds.
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// Bytes of one claim in a batch's layout.
pub const CLAIM_BYTES: usize = 172;
/// Bytes of one line in a statement's layout.
pub const LINE_BYTES: usize = 13;

const _: () = {
    // The largest batch and its statement fit a message, with room for the envelope and touchstones or a registration.
    assert!(2_048 * CLAIM_BYTES + 256 * 320 + 4_096 < MAX_MESSAGE_BYTES);
    assert!(2_048 * LINE_BYTES + 4_096 < MAX_MESSAGE_BYTES);
    // The largest purchase is 256 touchstones of about 290 bytes, and 256 sealed words of 48.
    assert!(256 * (320 + 48) + 4_096 < MAX_MESSAGE_BYTES);
    // The largest revocation list (24 bytes a peer) fits a message.
    assert!(32_768 * 24 + 4_096 < MAX_MESSAGE_BYTES);
    // A chunk with its proof fits.
    assert!(131_072 * 2 < MAX_MESSAGE_BYTES);
    // A purchase of the longest chains is possible, and so is a claim on the longest chain.
    assert!(MAX_CHAIN_LENGTH * MAX_CHAINS_PER_PURCHASE <= MAX_WORDS_PER_PURCHASE);
    assert!(DEFAULT_CHAIN_LENGTH <= MAX_CHAIN_LENGTH);
};
