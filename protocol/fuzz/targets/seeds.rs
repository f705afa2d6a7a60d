//! Writes the table's samples as seeds: `cargo run --example seeds -- seeds/decoders`. Small ones only.

use std::error::Error;
use std::path::PathBuf;

use netpay_protocol_fuzz::table;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("expected a folder to write the seeds to")?);
    std::fs::create_dir_all(&folder)?;
    for (number, decoder) in (0_u8..).zip(table::all()) {
        // A key is drawn anew each time: it is no seed to keep.
        for (nth, sample) in decoder.samples.iter().enumerate().filter(|_| decoder.memory_bytes < 8_000) {
            let name: String = decoder.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            std::fs::write(folder.join(format!("{name}-{nth}")), [&[number], sample.as_slice()].concat())?;
        }
    }
    Ok(())
}
