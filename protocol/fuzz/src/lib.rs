//! The decoders and their properties: the very files that the stable test `tests/decoders` runs.

#[path = "../../tests/decoders/properties.rs"]
pub mod properties;
#[path = "../../tests/samples/mod.rs"]
pub mod samples;
#[path = "../../tests/decoders/table.rs"]
pub mod table;
#[path = "../../tests/decoders/values.rs"]
pub mod values;
