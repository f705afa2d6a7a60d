//! A broker that is killed and started again, and what must be true of its directory whenever it is stopped.

use std::path::PathBuf;

use netpay_crash_point::broker::Point;
use netpay_protocol::ids::BrokerId;
use netpay_tests::campaign::Tally;
use netpay_tests::processes::{Process, World, until};
use serde_json::Value;
use tokio::sync::watch;

use crate::books::Read;
use crate::clients::Clients;
use crate::post::Life;

/// See the module.
pub struct Stage {
    /// Its directory, its NATS server, its programs.
    pub world: World,
    /// Its broker's ledger, as this process sees it.
    pub ledger: PathBuf,
    broker: Option<Process>,
    lives: u64,
    life: watch::Sender<Life>,
}

impl Default for Stage {
    fn default() -> Self {
        let world = World::new();
        let ledger = world.path("broker/ledger");
        Self { world, ledger, broker: None, lives: 0, life: watch::Sender::new(None) }
    }
}

impl Stage {
    /// How the broker lives.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// A new broker in the place of any old one. It does not serve yet.
    pub fn new_broker(&mut self) -> BrokerId {
        assert!(self.broker.is_none(), "the old one is stopped");
        let _ = std::fs::remove_dir_all(self.world.path("broker"));
        self.world.init_broker(&[]).parse().expect("an id")
    }

    /// Serves; returns when it is ready.
    pub fn serve(&mut self) {
        self.took_over(self.world.serve_broker());
    }

    /// Somebody else started it, and it is ready.
    pub fn took_over(&mut self, broker: Process) {
        self.broker = Some(broker);
        self.lives += 1;
        self.life.send_replace(Some(self.lives));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.let_go().kill();
    }

    /// Serves until it has committed so often, and dies before anybody is answered.
    pub fn serve_until_commit(&mut self, nth: u64) {
        let at = format!("{}#{nth}", Point::JournalCommitted.name());
        let variables = [("NETPAY_CRASH_AT".to_owned(), at)];
        let serve = ["--json", "serve", "--config", "broker"];
        let mut broker = self.world.start_with("netpay-broker", &serve, &variables, "broker.log");
        broker.wait_for("\"ready\":true");
        self.took_over(broker);
        let (code, said) = self.ended();
        assert_eq!(code, None, "nothing but the crash ends it: {said}");
    }

    /// The process, which the clients take for dead from now on.
    pub fn let_go(&mut self) -> Process {
        let broker = self.broker.take().expect("it serves");
        self.life.send_replace(None);
        broker
    }

    /// Waits until it ends by itself: its exit code (none when it aborted), and what it said.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let broker = self.broker.as_mut().expect("it serves");
        let code = until("the broker's end", || broker.ended());
        (code, self.let_go().said())
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        assert_eq!(self.let_go().terminate(), Some(0));
    }

    /// The directory of a stopped broker is sound, and holds exactly what the clients wrote down.
    pub fn check(&self, clients: &Clients, tally: &Tally) -> Read {
        let audit = self.world.broker(&["ledger", "audit"]);
        assert_eq!(audit["ok"], true, "{audit}");
        let read = Read::from(&self.ledger);
        let held = clients.held();
        held.books.must_equal(&read.books);
        for head in &held.heads {
            assert!(read.contains(head), "a statement showed record {}, which is not in the log", head.position);
        }
        drop(held);
        let rebuilt = self.world.broker(&["ledger", "rebuild"]);
        assert_eq!((&rebuilt["same"], &rebuilt["digest"]), (&Value::Bool(true), &audit["digest"]), "{rebuilt}");
        tally.count("checks");
        read
    }
}
