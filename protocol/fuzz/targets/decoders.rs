//! The first byte chooses a decoder, the rest is its input.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use netpay_protocol_fuzz::properties::{Decoder, check, check_one_kind};
use netpay_protocol_fuzz::table;

static ALL: LazyLock<Vec<Decoder>> = LazyLock::new(table::all);
static LAYOUTS: LazyLock<Vec<Decoder>> = LazyLock::new(table::layouts);

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, input)) = bytes.split_first()
        && let Some(decoder) = ALL.get(usize::from(*first))
    {
        check(decoder, input);
        if decoder.signed_layout {
            check_one_kind(&LAYOUTS, input);
        }
    }
});
