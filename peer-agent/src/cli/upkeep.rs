//! The thread in which `netpay serve` redeems on schedule and watches the broker's lists: it calls the steward, and prints.
//!
//! A thread, a runtime and a connection to the database of its own, so that nobody who pays ever waits for it.

use std::time::Duration;

use tokio::sync::oneshot;

use super::failure::Failure;
use super::session::now_ms;
use crate::errands::Errands;
use crate::errands::steward::Steward;
use crate::home::Home;
use crate::home::identity::random_u64;
use crate::net::Net;

/// How often the till is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The running thread.
pub struct Upkeep {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Upkeep {
    /// Starts it.
    pub fn start(home: &Home, net: &Net) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(1, error.to_string());
        let (store, me, net) = (home.store()?, home.identity.copy(), net.clone());
        let broker = home.config.broker;
        let mut steward = Steward::new(home.config.redeem.clone(), home.config.policy.clone(), random_u64);
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let work = move || {
            let errands = Errands { store: &store, me: &me, broker, line: &net, now_ms: &now_ms };
            let looking = async {
                loop {
                    for news in steward.look(&errands).await {
                        eprintln!("netpay: {news}");
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            // What is under way when it stops is kept, and taken up by whoever redeems next.
            runtime.block_on(async {
                tokio::select! {
                    () = looking => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(work).map_err(failed)?;
        Ok(Self { stop, thread })
    }

    /// Stops it, and waits until it has.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}
