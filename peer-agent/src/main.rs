//! The `netpay` program: reads the command line, runs one command, and ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    netpay_peer::cli::run(netpay_peer::cli::Args::parse())
}
