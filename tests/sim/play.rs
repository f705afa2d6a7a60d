//! What happens next, by dice: clients ask and ask again, writers work, leaders come and go, nodes die, lag and catch up.

use std::sync::{Arc, PoisonError};

use netpay_broker::actors::ledger::Order;
use netpay_broker::actors::runtime::Handler as _;
use netpay_ledger::{Action, Command};
use netpay_protocol::limits::{DAY_MS, HOUR_MS, MIN_REDEEM_WINDOW_MS};

use crate::cluster::{Cluster, Sim, Ticket};
use crate::raft::{NODES, lock};

/// How deep the world may move on inside a journal inside a journal.
const DEEPEST: u32 = 2;
/// How often a request is sent at the end until it has an outcome: once more if it was prepared on an older state.
const PATIENCE: u32 = 3;

impl Cluster {
    /// So many things happen, then everything is healed, and everybody gets an outcome.
    pub fn plays(self: &Arc<Self>, steps: u32) -> Result<(), String> {
        for _ in 0..steps {
            self.step();
            self.well()?;
        }
        self.settles()?;
        let mut sim = self.sim();
        sim.ends()
    }

    fn well(&self) -> Result<(), String> {
        self.sim().failure.clone().map_or(Ok(()), Err)
    }

    /// Something may happen while a writer is inside its journal.
    pub fn moves_on(self: &Arc<Self>) {
        let mut sim = self.sim();
        if sim.calm || sim.depth >= DEEPEST || sim.dice.below(3) > 0 {
            return;
        }
        let steps = sim.dice.below(12);
        sim.depth += 1;
        drop(sim);
        (0..steps).for_each(|_| self.step());
        self.sim().depth -= 1;
    }

    fn step(self: &Arc<Self>) {
        let mut sim = self.sim();
        let (kind, n, other) = (sim.dice.below(100), sim.dice.place(NODES), sim.dice.place(NODES));
        // Whoever was elected last, whoever still believes to lead, or anybody.
        let asked = match sim.dice.below(6) {
            0 => n,
            1 | 2 => sim.raft.cut_off.unwrap_or(n),
            _ => sim.leader.unwrap_or(n),
        };
        match kind {
            0..=27 => {
                drop(sim);
                self.somebody_asks(asked);
            }
            28..=57 => {
                let most = sim.dice.place(5) + 1;
                drop(sim);
                self.works(asked, most);
            }
            58..=67 => sim.elects(n),
            68..=77 => {
                if sim.raft.nodes[n].leads {
                    sim.spread(n);
                }
            }
            78..=83 => {
                let most = sim.dice.place(4);
                sim.raft.apply(n, most);
            }
            84..=86 => {
                let alone = sim.leader.unwrap_or(n);
                sim.raft.cut_off = Some(alone);
                if sim.dice.below(2) == 0 {
                    sim.elects((alone + 1) % NODES);
                }
            }
            87..=88 => sim.raft.cut_off = None,
            89..=90 => {
                let older = sim.dice.below(2) == 0;
                sim.tally.count(if older { "restarts with an older state" } else { "restarts" });
                sim.raft.restart(n, older);
                sim.died[n] = true;
                drop(sim);
                self.starts_the_dead();
            }
            91..=92 => {
                if sim.raft.snapshot(other, n) {
                    sim.tally.count("snapshots");
                }
            }
            93 => sim.raft.make_durable(n),
            94..=95 => sim.appends_late(n),
            96 => {
                let ms = match sim.dice.below(40) {
                    0 => MIN_REDEEM_WINDOW_MS + 2 * DAY_MS,
                    1..=4 => HOUR_MS / 2,
                    _ => 2_000,
                };
                drop(sim);
                self.time_passes(ms);
            }
            97 => {
                drop(sim);
                self.refunds(n);
            }
            98 => {
                if let Err(wrong) = sim.scan(n) {
                    sim.fails(wrong);
                }
            }
            _ => {
                let ms = sim.dice.below(50);
                drop(sim);
                self.time_passes(ms);
            }
        }
    }

    /// A new request, one that has no outcome yet, or one that has.
    fn somebody_asks(self: &Arc<Self>, to: usize) {
        let now_ms = self.now_ms(to);
        let mut sim = self.sim();
        let Sim { dice, clients, .. } = &mut *sim;
        let open: Vec<_> = (0..clients.asks.len()).rev().filter(|at| clients.asks[*at].told.is_none()).collect();
        let at = if open.len() > 6 || (!open.is_empty() && dice.below(2) == 0) {
            Some(*dice.one(&open))
        } else if !clients.asks.is_empty() && dice.below(5) == 0 {
            sim.tally.count("repeats of what was answered");
            let length = sim.clients.asks.len();
            Some(sim.dice.place(length))
        } else {
            clients.ask(dice, now_ms)
        };
        drop(sim);
        if let Some(at) = at {
            self.sends(at, to);
        }
    }

    /// A request is sent to a node, which works it off.
    pub fn asks(self: &Arc<Self>, at: usize, to: usize) {
        self.sends(at, to);
        self.works(to, usize::MAX);
    }

    fn sends(self: &Arc<Self>, at: usize, to: usize) {
        let now_ms = self.now_ms(to);
        let mut sim = self.sim();
        let Sim { clients, raft, tally, .. } = &mut *sim;
        let ask = &mut clients.asks[at];
        tally.count(if ask.sent == 0 { "commands" } else { "retries and repeats" });
        ask.sent += 1;
        let command = clients.command(at, &lock(&raft.nodes[to].state), now_ms);
        self.puts(&mut sim, to, Some(at), command);
    }

    fn puts(self: &Arc<Self>, sim: &mut Sim, to: usize, ask: Option<usize>, command: Command) {
        let (ticket, cluster) = (Ticket { ask, floor: sim.books.told }, Arc::downgrade(self));
        let answer = Box::new(move |settled| {
            if let Some(cluster) = cluster.upgrade() {
                cluster.answered(&ticket, to, settled);
            }
        });
        sim.inboxes[to].push_back(Order { command, answer });
    }

    /// A node finds what its payers did not use in time.
    fn refunds(self: &Arc<Self>, n: usize) {
        let mut sim = self.sim();
        let ecoins = sim.clients.bought();
        self.puts(&mut sim, n, None, Command { request: None, action: Action::ExpireEcoins { ecoins } });
    }

    /// A node's writer takes what waits for it, as one group.
    fn works(self: &Arc<Self>, n: usize, most: usize) {
        let slot = || self.writers[n].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut writer) = slot().take() else { return };
        let mut sim = self.sim();
        let orders: Vec<_> = (0..most).map_while(|_| sim.inboxes[n].pop_front()).collect();
        drop(sim);
        let mut waiting = orders.len();
        for order in orders {
            waiting -= 1;
            writer.handle(order, waiting);
        }
        *slot() = Some(writer);
        self.starts_the_dead();
    }

    /// What died comes up again, unless its writer is still on the way out.
    fn starts_the_dead(self: &Arc<Self>) {
        for n in 0..NODES {
            let idle = self.writers[n].lock().unwrap_or_else(PoisonError::into_inner).is_some();
            if idle && std::mem::take(&mut self.sim().died[n]) {
                self.sim().inboxes[n].clear();
                self.start(n);
            }
        }
    }

    /// Nothing goes wrong any more: everybody asks once more, until it has an outcome.
    fn settles(self: &Arc<Self>) -> Result<(), String> {
        let mut sim = self.sim();
        (sim.calm, sim.raft.cut_off) = (true, None);
        while !(0..NODES).any(|n| sim.raft.elect(n)) {}
        let leader = (0..NODES).find(|n| sim.raft.nodes[*n].leads && sim.spread(*n)).ok_or("nobody leads")?;
        let asks = sim.clients.asks.len();
        drop(sim);
        for n in (0..NODES).filter(|n| *n != leader) {
            self.works(n, usize::MAX);
        }
        self.works(leader, usize::MAX);
        for at in 0..asks {
            let answers = self.sim().clients.asks[at].answers;
            let mut patience = PATIENCE;
            while self.sim().clients.asks[at].answers == answers {
                self.asks(at, leader);
                self.well()?;
                patience = patience.checked_sub(1).ok_or("a request has no outcome though nothing goes wrong")?;
            }
        }
        let mut sim = self.sim();
        sim.spread(leader);
        sim.spread(leader);
        for n in 0..NODES {
            sim.raft.apply(n, usize::MAX);
        }
        Ok(())
    }
}

impl Sim {
    fn elects(&mut self, n: usize) {
        let leads_already = self.leader == Some(n) && self.raft.nodes[n].leads;
        if !self.raft.elect(n) {
            return;
        }
        self.tally.count(if leads_already { "elected again" } else { "leader changes" });
        self.leader = Some(n);
        if (0..NODES).filter(|n| self.raft.nodes[*n].leads).count() > 1 {
            self.tally.count("two believe that they lead");
        }
    }
}
