//! Version 1 on one page: a hash of every layout and message, every subject, limit and number. A line never changes.

use netpay_protocol::ids::Digest;
use netpay_protocol::limits as l;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::suite::Suite;

use super::json::Json;
use super::{layouts, lists, messages};

const HEADER: &str = "\
# P2P-NetPay, protocol version 1, frozen. How to change a line: never (spec/24-versions.md).
# Lines may be added at the end of each part. Hashes are SHA-256 of a vector's bytes.
";

fn limits() -> Vec<(&'static str, u64)> {
    let wide = |value: usize| u64::try_from(value).expect("small");
    vec![
        ("max_chain_length", l::MAX_CHAIN_LENGTH.into()),
        ("max_chains_per_purchase", l::MAX_CHAINS_PER_PURCHASE.into()),
        ("max_words_per_purchase", l::MAX_WORDS_PER_PURCHASE.into()),
        ("max_claims_per_batch", l::MAX_CLAIMS_PER_BATCH.into()),
        ("max_steps_per_batch", l::MAX_STEPS_PER_BATCH),
        ("max_touchstones_per_batch", l::MAX_TOUCHSTONES_PER_BATCH.into()),
        ("max_message_bytes", wide(l::MAX_MESSAGE_BYTES)),
        ("max_keys", l::MAX_KEYS.into()),
        ("max_revoked", l::MAX_REVOKED.into()),
        ("max_request_life_ms", l::MAX_REQUEST_LIFE_MS),
        ("max_key_list_life_ms", l::MAX_KEY_LIST_LIFE_MS),
        ("min_redeem_window_ms", l::MIN_REDEEM_WINDOW_MS),
        ("min_rsa_bits", wide(*l::RSA_BITS.start())),
        ("max_rsa_bits", wide(*l::RSA_BITS.end())),
        ("max_sealing_key_bytes", l::MAX_SEALING_KEY_BYTES.into()),
        ("min_chunk_bytes", (*l::CHUNK_BYTES.start()).into()),
        ("max_chunk_bytes", (*l::CHUNK_BYTES.end()).into()),
        ("max_name_bytes", l::MAX_NAME_BYTES.into()),
        ("max_media_type_bytes", l::MAX_MEDIA_TYPE_BYTES.into()),
        ("max_tags_bytes", l::MAX_TAGS_BYTES.into()),
        ("max_listing_life_ms", l::MAX_LISTING_LIFE_MS),
        ("max_search_bytes", wide(l::MAX_SEARCH_BYTES)),
        ("max_search_results", l::MAX_SEARCH_RESULTS.into()),
        ("max_reference_bytes", wide(l::MAX_REFERENCE_BYTES)),
        ("max_reason_bytes", wide(l::MAX_REASON_BYTES)),
        ("max_destination_bytes", l::MAX_DESTINATION_BYTES.into()),
        ("claim_bytes", wide(l::CLAIM_BYTES)),
        ("line_bytes", wide(l::LINE_BYTES)),
    ]
}

fn hashed<'a>(
    part: &'static str,
    vectors: &'a [Json],
    kind: &'static str,
    bytes: &'static str,
) -> impl Iterator<Item = String> + 'a {
    vectors.iter().map(move |vector| {
        let hash = Digest::sha256(vector.text(bytes).as_bytes());
        format!("{part} {} / {} {hash}", vector.text(kind), vector.text("name"))
    })
}

/// The page.
pub fn page() -> String {
    let (layouts, messages, subjects) = (layouts::vectors(), messages::vectors(), lists::subjects());
    let mut lines: Vec<String> = hashed("layout", &layouts, "what", "layout").collect();
    lines.extend(hashed("message", &messages, "message", "cbor"));
    lines.extend(subjects.iter().map(|vector| format!("subject {} {}", vector.text("name"), vector.text("subject"))));
    lines.extend(limits().into_iter().map(|(name, value)| format!("limit {name} {value}")));
    let suites = [Suite::Md5, Suite::Sha256];
    lines.extend(suites.map(|suite| format!("suite {} {suite} {}", suite.number(), suite.word_len())));
    lines.extend(Verdict::ALL.map(|verdict| format!("verdict {} {}", verdict.number(), verdict.name())));
    let kinds = messages::KINDS.iter();
    lines.extend(kinds.map(|(kind, number, ..)| format!("problem {number} {} {}", kind.name(), kind.code())));
    format!("{HEADER}{}\n", lines.join("\n"))
}
