//! The `netpay-broker` program: reads its arguments, runs one command, says how it ended.

use std::io::IsTerminal as _;

use clap::Parser as _;
use netpay_broker::cli::{self, Arguments};

fn main() -> std::process::ExitCode {
    // A panic in any thread means that we are wrong about something: stop, rather than go on with an actor missing.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    let arguments = Arguments::parse();
    let usual = if arguments.serves() { "info,async_nats=warn,actix_server=warn" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("NETPAY_LOG").unwrap_or_else(|_| usual.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    cli::run(arguments)
}
