//! Writes the test vectors of protocol version 1, or compares them with the files.
//!
//! `cargo run -p netpay-protocol --example vectors` says which files differ (and fails); with `-- --write` it writes
//! them. Apart from the tests, so that files change only when somebody asks for it.

mod sets;

use std::process::ExitCode;

fn main() -> ExitCode {
    let write = std::env::args().skip(1).any(|argument| argument == "--write");
    let mut differ = 0;
    for (path, text) in sets::files() {
        if std::fs::read_to_string(&path).is_ok_and(|held| held == text) {
            continue;
        }
        differ += 1;
        println!("{} {}", if write { "writing" } else { "differs:" }, path.display());
        if write && let Err(error) = std::fs::write(&path, text) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if differ == 0 || write { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
