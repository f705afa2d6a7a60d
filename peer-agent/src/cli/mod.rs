//! The command line: one file per command. Results on stdout, logs and progress on stderr.

mod balance;
mod buy;
mod candidates;
mod csv;
mod doctor;
mod failure;
mod get;
mod history;
mod init;
mod passphrase;
mod payout;
mod policy;
mod redeem;
mod search;
mod serve;
mod session;
mod share;
mod statement;
mod time;
mod upkeep;
mod wallet;
mod wallet_backup;
mod wallet_passphrase;
mod wallet_restore;
mod wallet_rotate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use failure::Failure;
use session::Session;

/// P2P-NetPay's peer: buy e-coins, find and buy files with them, share and earn, redeem.
#[derive(Parser, Debug)]
#[command(
    name = "netpay",
    version,
    after_help = "\
Examples:
  netpay init --broker 0123456789abcdef0123456789abcdef
  netpay buy --n 256
  netpay search free music
  netpay get CONTENT --max-price 20 -o song.ogg
  netpay share add song.ogg --price 20 --tags \"free music\"
  netpay serve
  netpay redeem
  netpay doctor

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 declined by price or policy, 5 insufficient funds,
6 broker or NATS unreachable, 7 verification failed, 8 suspended or double spend, 75 try later."
)]
pub struct Args {
    /// The peer's directory.
    #[arg(long, global = true, env = "NETPAY_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    passphrase: passphrase::Source,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::Init),
    Balance(balance::Balance),
    Buy(buy::Buy),
    Wallet(wallet::Wallet),
    Share(share::Share),
    Serve(serve::Serve),
    Search(search::Search),
    Get(get::Get),
    Redeem(redeem::Redeem),
    Statement(statement::Statement),
    History(history::History),
    Payout(payout::Payout),
    Doctor(doctor::Doctor),
}

/// Runs a command.
pub fn run(args: Args) -> ExitCode {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("NETPAY_LOG").unwrap_or_else(|_| "warn,async_nats=error".into());
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(&args)),
        Err(error) => Err(Failure::new(1, error.to_string())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if args.json && !failure.told {
                let mut object = json!({ "error": failure.text, "exit_code": failure.code });
                if let (Some(object), Value::Object(also)) = (object.as_object_mut(), &failure.also) {
                    object.extend(also.clone());
                }
                session::print(true, &object, String::new);
            }
            eprintln!("netpay: {}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

async fn dispatch(args: &Args) -> Result<(), Failure> {
    let dir = match &args.home {
        Some(dir) => dir.clone(),
        None => crate::home::default_dir()?,
    };
    if let Command::Init(init) = &args.command {
        return init.run(&dir, &args.passphrase, args.json).await;
    }
    if let Command::Doctor(doctor) = &args.command {
        return doctor.run(&dir, &args.passphrase, args.json).await;
    }
    if let Command::Wallet(wallet) = &args.command
        && let Some(done) = wallet.run_without_home(&dir, &args.passphrase, args.json).await
    {
        return done;
    }
    // Taken before the keys are read: they are not changed behind the back of who serves with them.
    let _serving = match &args.command {
        Command::Serve(_) if dir.exists() => Some(crate::home::serving::serve(&dir)?),
        _ => None,
    };
    let session = Session::open(&dir, &args.passphrase, args.json)?;
    match &args.command {
        Command::Init(_) | Command::Doctor(_) => Ok(()),
        Command::Balance(command) => command.run(&session).await,
        Command::Buy(command) => command.run(&session).await,
        Command::Wallet(command) => command.run(&session, &args.passphrase).await,
        Command::Share(command) => command.run(&session).await,
        Command::Serve(command) => command.run(session).await,
        Command::Search(command) => command.run(&session).await,
        Command::Get(command) => command.run(&session).await,
        Command::Redeem(command) => command.run(&session).await,
        Command::Statement(command) => command.run(&session).await,
        Command::History(command) => command.run(&session),
        Command::Payout(command) => command.run(&session).await,
    }
}
