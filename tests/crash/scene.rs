//! A broker whose disk is watched, or fails when it is told to, and its clients.

use std::sync::Arc;

use netpay_tests::campaign::Campaign;
use netpay_tests::processes::{Process, until};
use netpay_tests::raw_peer::now_ms;
use tokio::runtime::Runtime;

use crate::clients::Clients;
use crate::kills::peers;
use crate::load::Load;
use crate::post::Post;
use crate::shim::Shim;
use crate::stage::Stage;

/// A broker whose disk failed while it served is gone after this.
pub const AT_ONCE_MS: u64 = 1_000;
/// What it says at the end.
const LAST_WORDS: &str = "stopped, nothing unanswered counts as done";

/// See the module.
pub struct Scene {
    /// The broker.
    pub stage: Stage,
    /// Its disk.
    pub shim: Shim,
    /// Its clients.
    pub clients: Arc<Clients>,
    /// Where they run.
    pub runtime: Runtime,
    /// What happened.
    pub campaign: Campaign,
    loads: u64,
}

impl Scene {
    /// A new broker. It does not serve yet.
    pub fn new(name: &'static str) -> Self {
        let campaign = Campaign::fixed("crash", name, 1, 10);
        let runtime = Runtime::new().expect("threads");
        let mut stage = Stage::default();
        let broker = stage.new_broker();
        let mut peers = runtime.block_on(peers(&stage.world.nats_url()));
        peers.iter_mut().for_each(|peer| peer.broker = broker);
        let post = Post::new(Arc::clone(&campaign.tally), stage.life());
        let clients = Arc::new(Clients::new(&stage.world, post, peers));
        let shim = Shim::compile(&stage.world);
        Self { stage, shim, clients, runtime, campaign, loads: 0 }
    }

    /// Starts it under the shim.
    pub fn start(&self) -> Process {
        let arguments = ["--json", "serve", "--config", "broker"];
        self.stage.world.start_with("netpay-broker", &arguments, &self.shim.variables(), "broker.log")
    }

    /// Serves under the shim; returns when it is ready.
    pub fn serve(&mut self) {
        let mut broker = self.start();
        broker.wait_for("\"ready\":true");
        self.stage.took_over(broker);
    }

    /// Has the clients ask for things; other things each time.
    pub fn load(&mut self, workers: u64) -> Load {
        self.loads += 1;
        let part = self.loads << 16;
        Load::start(&self.runtime, &self.clients, workers, |worker| self.campaign.dice(part | worker))
    }

    /// Waits until so many more are acknowledged.
    pub fn acknowledged(&self, more: u64) {
        assert!(self.acknowledged_before_an_error(more), "the disk failed");
    }

    /// The same, unless the disk fails first.
    pub fn acknowledged_before_an_error(&self, more: u64) -> bool {
        let tally = &self.campaign.tally;
        let enough = tally.of("acknowledged") + more;
        until("acknowledgements or an error", || {
            let failed = self.shim.first_fault_ms().is_some();
            (failed || tally.of("acknowledged") >= enough).then_some(!failed)
        })
    }

    /// The broker ends by itself: not well, with its last words and one of these. Answers how long after the error, in ms.
    pub fn stops(&mut self, words: &[&str]) -> u64 {
        let fault_ms = until("something that fails", || self.shim.first_fault_ms());
        let (code, said) = self.stage.ended();
        let ended_ms = now_ms();
        assert_ne!(code, Some(0), "it says that all is well");
        let why = words.iter().any(|words| said.contains(words));
        assert!(why && said.contains(LAST_WORDS), "none of {words:?} is in: {said}");
        self.campaign.tally.count("brokers that stopped");
        ended_ms.saturating_sub(fault_ms)
    }

    /// The disk is good again: everything that was acknowledged is there, and what was not has one outcome.
    pub fn recovers(&mut self, load: Load) {
        self.shim.forget();
        self.serve();
        self.acknowledged(20);
        load.finish(&self.runtime);
        self.stage.stop();
        self.stage.check(&self.clients, &self.campaign.tally);
    }

    /// Says what happened, and what the log came to hold.
    pub fn end(self, kinds: &[&str]) {
        self.stage.check(&self.clients, &self.campaign.tally).count(&self.clients.post);
        self.campaign.end(kinds);
    }
}
