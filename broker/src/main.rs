//! The `netpay-broker` program: reads its arguments, runs one command, says how it ended.

use clap::Parser as _;
use netpay_broker::cli::{self, Arguments};

fn main() -> std::process::ExitCode {
    // A panic in any thread means that we are wrong about something: stop, rather than go on with an actor missing.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("NETPAY_LOG").unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    cli::run(Arguments::parse())
}
