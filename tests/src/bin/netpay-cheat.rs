//! A cheating wallet, for tests and the demo: buys one e-coin and spends the same words with everybody it is told to.
//! There is no such switch in `netpay`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::{BrokerId, ContentId, PeerId, from_hex, to_hex};
use netpay_protocol::layout::Signed;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use netpay_tests::raw_peer::{Coin, RawPeer};
use rand_core::Rng as _;
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// Where its key and its e-coin are kept.
    #[arg(long)]
    state: PathBuf,
    #[arg(long)]
    nats: String,
    #[arg(long)]
    broker: BrokerId,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draws a key; prints the peer's id.
    Init,
    /// Buys one e-coin of so many words.
    Buy { n: u32 },
    /// Pays W1..Wn of it to each `PEER=CONTENT`, whoever was paid with them before.
    Spend { words: u32, to: Vec<String> },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (key_file, coin_file) = (arguments.state.with_extension("key"), arguments.state.with_extension("coin"));
    if matches!(arguments.command, Command::Init) {
        let mut seed = [0; 32];
        rand_core::UnwrapErr(getrandom::SysRng).fill_bytes(&mut seed);
        std::fs::write(&key_file, to_hex(&seed))?;
    }
    let seed: [u8; 32] = from_hex(&std::fs::read_to_string(&key_file).context("run init first")?)?;
    let peer = RawPeer::with_seed(&arguments.nats, arguments.broker, &seed).await?;
    match arguments.command {
        Command::Init => {
            peer.join().await?;
            println!("{}", json!({ "peer": peer.id().to_string() }));
        }
        Command::Buy { n } => {
            let coins = peer.buy(&peer.order(n, 1, Suite::Sha256)).await?;
            let coin = coins.first().context("nothing was sold")?;
            let last = coin.chain.word(PaywordIndex(n)).context("a chain of n words")?;
            std::fs::write(&coin_file, wire::encode(&(coin.touchstone.clone(), last)))?;
            println!("{}", json!({ "ecoin": coin.touchstone.content.ecoin.to_string(), "n": n }));
        }
        Command::Spend { words, to } => {
            let bytes = std::fs::read(&coin_file).context("run buy first")?;
            let (touchstone, last): (Signed<Touchstone>, Payword) = wire::decode(&bytes)?;
            let t = &touchstone.content;
            let chain = PaywordChain::below(t.suite, &t.ecoin, t.n, last);
            let coin = Coin { touchstone, chain };
            let mut paid = Vec::new();
            for target in to {
                let (payee, content) = target.split_once('=').context("expected PEER=CONTENT")?;
                paid.push(spend(&peer, &coin, words, payee.parse()?, content.parse()?).await);
            }
            println!("{}", json!({ "payments": paid }));
        }
    }
    Ok(())
}

async fn spend(peer: &RawPeer, coin: &Coin, words: u32, payee: PeerId, content: ContentId) -> serde_json::Value {
    let paid = async {
        let quoted = peer.quote(payee, content).await?;
        peer.pay(coin, (1, words + 1), &quoted).await
    };
    match paid.await {
        Ok(paid) => json!({ "payee": payee.to_string(), "accepted": true, "paid_units": paid.paid.0 }),
        Err(why) => json!({ "payee": payee.to_string(), "accepted": false, "reason": format!("{why:#}") }),
    }
}
