//! Writes the test vectors of protocol version 1, or compares them with the files.
//!
//! `cargo run -p netpay-protocol --example vectors` says which files differ (and fails); with `-- --write` it writes
//! them. Apart from the tests, so that files change only when somebody asks for it. The frozen page only ever grows:
//! a line that would change or go is an error, and nothing is written.

mod sets;

use std::process::ExitCode;

fn main() -> ExitCode {
    let write = std::env::args().skip(1).any(|argument| argument == "--write");
    let frozen = (sets::frozen_file(), sets::frozen::page());
    let lost = lost(&std::fs::read_to_string(&frozen.0).unwrap_or_default(), &frozen.1);
    if !lost.is_empty() {
        lost.iter().for_each(|line| eprintln!("frozen, and no longer so: {line}"));
        return ExitCode::FAILURE;
    }
    let mut differ = 0;
    for (path, text) in sets::files().into_iter().chain([frozen]) {
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

/// The frozen lines that the page would no longer have.
fn lost(held: &str, page: &str) -> Vec<String> {
    held.lines().filter(|line| !page.lines().any(|kept| kept == *line)).map(str::to_owned).collect()
}
