//! Orders between nodes that share a ledger in memory, over a link that loses, doubles and delays what it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use futures::future::BoxFuture;
use netpay_ledger::command::{Action, Request};
use netpay_ledger::event::Event;
use netpay_ledger::memory::{self, Memory};
use netpay_ledger::record::Record;
use netpay_ledger::{Facts, load};
use netpay_protocol::admin::Admin;
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::{BrokerId, Digest, Kid, PeerId, RequestId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::problem::Kind as ProblemKind;
use netpay_protocol::redemption::{Head, Line, Verdict};

use super::*;
use crate::actors::refusals::rejected;
use crate::actors::runtime::{self, Actors, Handler};
use crate::ports::link::Handler as Serve;

const NOW_MS: u64 = 1_000_000;
const LONG: Duration = Duration::from_secs(20);

/// What becomes of one message.
enum Fate {
    Arrives,
    NobodyThere,
    IsRefused,
    AnswerLost,
    ArrivesTwice,
    Garbled,
    /// It arrives when something else has happened.
    After(Box<dyn FnOnce() + Send>),
    /// It arrives when the gate lets one through.
    Waits(Arc<Semaphore>),
}

#[derive(Default)]
struct Wires {
    served: Mutex<BTreeMap<NodeId, Arc<Serve>>>,
    fates: Mutex<VecDeque<Fate>>,
    sent: Mutex<Vec<NodeId>>,
}

struct Wire {
    me: NodeId,
    wires: Arc<Wires>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics")
}

impl Link for Wire {
    fn request(
        &self,
        to: NodeId,
        kind: Kind,
        bytes: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, LinkError>> {
        async move {
            assert_eq!(kind, Kind::Command);
            lock(&self.wires.sent).push(to);
            let fate = lock(&self.wires.fates).pop_front().unwrap_or(Fate::Arrives);
            let handler = lock(&self.wires.served).get(&to).cloned().ok_or(LinkError::Unreachable(to))?;
            let arrive = || handler(self.me, bytes.clone());
            let answer = match fate {
                Fate::Arrives => arrive().await,
                Fate::NobodyThere => return Err(LinkError::Unreachable(to)),
                Fate::IsRefused => Err(Refused("it works on enough already".into())),
                Fate::Garbled => Ok(b"noise".to_vec()),
                Fate::AnswerLost => {
                    let _ = arrive().await;
                    return Err(LinkError::Late(to));
                }
                Fate::ArrivesTwice => {
                    let _ = arrive().await;
                    arrive().await
                }
                Fate::After(happens) => {
                    happens();
                    arrive().await
                }
                Fate::Waits(gate) => {
                    gate.acquire().await.expect("open").forget();
                    arrive().await
                }
            };
            answer.map_err(|refused| LinkError::Refused(to, refused))
        }
        .boxed()
    }

    fn serve(&self, _: Kind, handler: Serve) {
        lock(&self.wires.served).insert(self.me, Arc::new(handler));
    }
}

/// Decides on the shared ledger while it leads.
struct Writer {
    me: NodeId,
    ledger: Arc<Mutex<Memory>>,
    leads: Arc<Mutex<Option<NodeId>>>,
}

impl Handler for Writer {
    type Message = Order;

    fn handle(&mut self, order: Order, _: usize) {
        if *lock(&self.leads) != Some(self.me) {
            return (order.answer)(Settled::problem(not_leading()));
        }
        let mut ledger = lock(&self.ledger);
        let incarnation = load::totals(&*ledger).expect("readable").incarnation();
        let facts = Facts { now_ms: NOW_MS, incarnation, drained_to_ms: NOW_MS, clock_trusted: true };
        let outcome = match ledger.execute(&facts, order.command) {
            Ok(memory::Outcome::Recorded(_)) => Ok(Outcome::Recorded(last(&ledger))),
            Ok(memory::Outcome::Repeated(position)) => Ok(Outcome::Repeated(position)),
            Ok(memory::Outcome::Unchanged(lines)) => Ok(Outcome::Unchanged(lines)),
            Err(rejection) => Err(rejected(&rejection)),
        };
        let head = load::totals(&*ledger).expect("readable").head;
        (order.answer)(Settled { outcome, head, balance: None });
    }
}

fn last(ledger: &Memory) -> Record {
    minicbor::decode(ledger.records().last().expect("just recorded")).expect("a record")
}

/// Three nodes. The first takes the orders; the writers are told who leads apart from what nodes believe.
struct Cluster {
    ledger: Arc<Mutex<Memory>>,
    leads: Arc<Mutex<Option<NodeId>>>,
    wires: Arc<Wires>,
    standing: BTreeMap<NodeId, watch::Sender<Standing>>,
    forward: Forward,
    actors: Actors,
}

impl Cluster {
    fn led_by(leader: Option<NodeId>) -> Self {
        let (ledger, leads, wires) = (Arc::default(), Arc::new(Mutex::new(leader)), Arc::<Wires>::default());
        let (mut actors, mut standing, mut places) = (Actors::default(), BTreeMap::new(), Vec::new());
        for me in 1..=3 {
            // Whatever is committed has been applied, unless a test says otherwise.
            let (sender, receiver) = watch::channel(Standing { leader, applied: u64::MAX });
            standing.insert(me, sender);
            let writer = Writer { me, ledger: Arc::clone(&ledger), leads: Arc::clone(&leads) };
            let place = Place { me, standing: receiver, writer: actors.start(256, writer) };
            serve(&Wire { me, wires: Arc::clone(&wires) }, place.clone());
            places.push(place);
        }
        let link = Arc::new(Wire { me: 1, wires: Arc::clone(&wires) });
        let forward = Forward::new(places.remove(0), link);
        Self { ledger, leads, wires, standing, forward, actors }
    }

    /// From now on this node leads, and these know it.
    fn elect(&self, leader: NodeId, who_knows: &[NodeId]) {
        *lock(&self.leads) = Some(leader);
        for node in who_knows {
            self.standing[node].send_modify(|standing| standing.leader = Some(leader));
        }
    }

    fn fate(&self, fate: Fate) {
        lock(&self.wires.fates).push_back(fate);
    }

    fn begin(&self, command: Command) -> oneshot::Receiver<Settled> {
        let (tell, told) = oneshot::channel();
        self.forward.send(Order { command, answer: Box::new(move |settled| drop(tell.send(settled))) });
        told
    }

    async fn order(&self, command: Command) -> Settled {
        end(self.begin(command)).await
    }

    fn sent(&self) -> Vec<NodeId> {
        std::mem::take(&mut lock(&self.wires.sent))
    }

    fn records(&self) -> usize {
        lock(&self.ledger).records().len()
    }
}

async fn end(told: oneshot::Receiver<Settled>) -> Settled {
    tokio::time::timeout(LONG, told).await.expect("it ends").expect("it is answered")
}

/// A deposit for somebody; the number is the request's.
fn credit(number: u8) -> Command {
    let key = SigningKey::from_seed(&[1; 32]);
    let (peer, amount, request) = (PeerId([number; 16]), Units(5), RequestId([number; 16]));
    let admin = Admin {
        broker: BrokerId([1; 16]),
        kid: Kid::of(&key.public()),
        request,
        valid_until_ms: NOW_MS + 60_000,
        order: vec![number],
    };
    let order = Box::new(Signed::new(admin, &key));
    let request = Request { signer: PeerId([9; 16]), id: request, digest: order.content.digest() };
    let action = Action::CreditFunds { order, peer, amount, reference: format!("bank {number}") };
    Command { request: Some(request), action }
}

fn in_a_cluster_led_by<F: Future<Output = Cluster>>(leader: Option<NodeId>, play: impl FnOnce(Cluster) -> F) {
    runtime::run(async { play(Cluster::led_by(leader)).await.actors.stop() });
}

#[test]
fn an_order_is_decided_by_whoever_leads_and_its_record_comes_back() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        let settled = cluster.order(credit(1)).await;
        let record = last(&lock(&cluster.ledger));
        assert_eq!(settled, Settled { head: record.head(), outcome: Ok(Outcome::Recorded(record)), balance: None });
        assert_eq!(cluster.sent(), [2]);
        cluster.elect(1, &[1, 2, 3]);
        assert!(matches!(cluster.order(credit(2)).await.outcome, Ok(Outcome::Recorded(_))));
        assert_eq!((cluster.sent(), cluster.records()), (vec![], 2), "its own writer leads now");
        cluster
    });
}

#[test]
fn a_rejection_comes_back_in_the_leaders_words() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        cluster.order(credit(1)).await;
        let other = Command { request: credit(1).request, ..credit(2) };
        let reused = other.request.map(|request| Request { digest: Digest([0; 32]), ..request });
        let outcome = cluster.order(Command { request: reused, ..other }).await.outcome;
        assert_eq!(outcome.map_err(|problem| problem.kind), Err(ProblemKind::RequestIdReused));
        cluster
    });
}

#[test]
fn nobody_leading_is_said_at_once_and_nothing_is_sent() {
    in_a_cluster_led_by(None, |cluster| async {
        assert_eq!(cluster.order(credit(1)).await, Settled::problem(not_leading()));
        assert_eq!((cluster.sent(), cluster.records()), (vec![], 0));
        cluster
    });
}

#[test]
fn a_leader_that_is_none_any_more_names_the_next_who_is_asked_once() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        cluster.elect(3, &[2, 3]);
        assert!(matches!(cluster.order(credit(1)).await.outcome, Ok(Outcome::Recorded(_))));
        assert_eq!((cluster.sent(), cluster.records()), (vec![2, 3], 1));
        // Two that each take the other for the leader are not asked in circles.
        cluster.elect(3, &[2]);
        cluster.elect(2, &[3]);
        *lock(&cluster.leads) = None;
        assert_eq!(cluster.order(credit(2)).await, Settled::problem(not_leading()));
        assert_eq!((cluster.sent(), cluster.records()), (vec![2, 3], 1));
        cluster
    });
}

#[test]
fn the_leader_changes_while_an_order_is_on_its_way_and_it_is_decided_once() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        let (leads, standing) = (Arc::clone(&cluster.leads), cluster.standing[&1].clone());
        // The writer finds out first: node 2 takes the order and its writer refuses it. Node 1 knows the next by then.
        cluster.fate(Fate::After(Box::new(move || {
            *lock(&leads) = Some(3);
            standing.send_modify(|standing| standing.leader = Some(3));
        })));
        cluster.standing[&3].send_modify(|standing| standing.leader = Some(3));
        assert!(matches!(cluster.order(credit(1)).await.outcome, Ok(Outcome::Recorded(_))));
        assert_eq!((cluster.sent(), cluster.records()), (vec![2, 3], 1));
        cluster
    });
}

#[test]
fn a_node_that_comes_to_lead_while_its_order_is_away_decides_it_itself() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        cluster.elect(1, &[2]);
        assert!(matches!(cluster.order(credit(1)).await.outcome, Ok(Outcome::Recorded(_))));
        assert_eq!((cluster.sent(), cluster.records()), (vec![2], 1));
        cluster
    });
}

#[test]
fn a_leader_that_dies_between_commit_and_answer_leaves_one_record_which_the_same_request_finds() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        cluster.fate(Fate::AnswerLost);
        assert_eq!(cluster.order(credit(1)).await, Settled::problem(not_known()));
        assert_eq!((cluster.sent(), cluster.records()), (vec![2], 1), "it is not sent again by itself");
        cluster.elect(3, &[1, 3]);
        assert_eq!(cluster.order(credit(1)).await.outcome, Ok(Outcome::Repeated(1)));
        assert_eq!((cluster.sent(), cluster.records()), (vec![3], 1));
        cluster
    });
}

#[test]
fn an_order_that_arrives_twice_has_one_outcome() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        cluster.fate(Fate::ArrivesTwice);
        assert_eq!(cluster.order(credit(1)).await.outcome, Ok(Outcome::Repeated(1)));
        assert_eq!(cluster.records(), 1);
        cluster
    });
}

#[test]
fn what_the_link_says_is_told_apart_by_whether_something_may_have_been_done() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        for (fate, problem) in [
            (Fate::NobodyThere, not_leading()),
            (Fate::IsRefused, busy()),
            (Fate::AnswerLost, not_known()),
            (Fate::Garbled, not_known()),
        ] {
            cluster.fate(fate);
            assert_eq!(cluster.order(credit(1)).await, Settled::problem(problem));
            assert_eq!(cluster.sent(), [2], "and it is not sent again");
        }
        cluster
    });
}

#[test]
fn an_order_is_answered_when_this_node_has_applied_it_and_not_before() {
    in_a_cluster_led_by(Some(2), |mut cluster| async {
        cluster.standing[&1].send_modify(|standing| standing.applied = 0);
        let mut told = cluster.begin(credit(1));
        let start = std::time::Instant::now();
        while cluster.records() == 0 {
            assert!(start.elapsed() < LONG, "it is not recorded");
            tokio::task::yield_now().await;
        }
        // A second order is through, and a problem waits for nothing.
        cluster.fate(Fate::Garbled);
        assert_eq!(cluster.order(credit(2)).await, Settled::problem(not_known()));
        assert!(told.try_recv().is_err(), "this node has not applied it");
        cluster.standing[&1].send_modify(|standing| standing.applied = 1);
        assert!(matches!(end(told).await.outcome, Ok(Outcome::Recorded(_))));

        // Position 2 is never applied here: the node is stopping.
        let told = cluster.begin(credit(3));
        cluster.standing.remove(&1);
        assert_eq!(end(told).await, Settled::problem(not_known()));
        cluster
    });
}

#[test]
fn orders_travel_up_to_the_bound_and_one_more_is_busy() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        let gate = Arc::new(Semaphore::new(0));
        let most = u8::try_from(MOST_ON_THEIR_WAY).expect("few");
        let travelling: Vec<_> = (1..=most)
            .map(|number| {
                cluster.fate(Fate::Waits(Arc::clone(&gate)));
                cluster.begin(credit(number))
            })
            .collect();
        assert_eq!(cluster.order(credit(200)).await, Settled::problem(busy()));
        gate.add_permits(MOST_ON_THEIR_WAY);
        for told in travelling {
            assert!(matches!(end(told).await.outcome, Ok(Outcome::Recorded(_))));
        }
        assert_eq!(cluster.records(), MOST_ON_THEIR_WAY);
        cluster
    });
}

#[test]
fn what_is_no_command_is_refused_and_reaches_no_writer() {
    in_a_cluster_led_by(Some(2), |cluster| async {
        let link = Wire { me: 1, wires: Arc::clone(&cluster.wires) };
        for bytes in [b"".to_vec(), b"noise".to_vec(), [credit(1).to_bytes(), vec![0]].concat()] {
            let answer = link.request(2, Kind::Command, bytes, LONG).await;
            assert!(matches!(answer, Err(LinkError::Refused(2, _))), "{answer:?}");
        }
        assert_eq!(cluster.records(), 0);
        cluster
    });
}

/// A record whose outcome makes an answer of about so many bytes.
fn recorded(text_bytes: usize) -> Settled {
    let Action::CreditFunds { order, peer, amount, .. } = credit(1).action else { panic!("a deposit") };
    let event = Event::FundsCredited { peer, amount, reference: "x".repeat(text_bytes), order };
    let facts = Facts { now_ms: NOW_MS, incarnation: 1, drained_to_ms: NOW_MS, clock_trusted: true };
    let record =
        Record::following(Head { position: 41, hash: Digest([1; 32]) }, &facts, credit(1).request, vec![event]);
    Settled { head: record.head(), outcome: Ok(Outcome::Recorded(record)), balance: Some(Units(u64::MAX)) }
}

#[test]
fn a_record_that_does_not_fit_an_answer_travels_as_its_position() {
    let around = Said::Settled(Box::new(recorded(100_000))).to_bytes().len() - 100_000;
    let fits = recorded(MAX_BYTES - around);
    let bytes = Said::settled(fits.clone());
    assert_eq!(bytes.len(), MAX_BYTES);
    assert_eq!(Said::from_bytes(&bytes), Some(Said::Settled(Box::new(fits))));
    let above = recorded(MAX_BYTES - around + 1);
    let short = Settled { outcome: Ok(Outcome::Repeated(42)), ..above.clone() };
    assert_eq!(Said::from_bytes(&Said::settled(above)), Some(Said::Settled(Box::new(short))));
}

#[test]
fn every_answer_is_read_back_as_it_was_and_has_one_form() {
    let (head, balance) = (Head { position: 7, hash: Digest([7; 32]) }, Some(Units(3)));
    let line = Line::settled(WordCount(1), WordCount(2), WordCount(3));
    let outcomes = [
        recorded(10).outcome,
        Ok(Outcome::Repeated(u64::MAX)),
        Ok(Outcome::Unchanged(vec![line, Line::refused(Verdict::Expired)])),
        Err(not_known()),
    ];
    let known = |number: &u64| {
        let bytes = minicbor::to_vec((number, [0_u8; 0])).expect("in memory");
        !minicbor::decode::<Outcome>(&bytes).is_err_and(|error| error.is_unknown_variant())
    };
    assert_eq!((0..1_000).filter(known).count(), outcomes.iter().flatten().count(), "an outcome without a sample here");
    let settled = outcomes.into_iter().flat_map(|outcome| {
        [None, balance].map(|balance| Said::Settled(Box::new(Settled { outcome: outcome.clone(), head, balance })))
    });
    for said in settled.chain([Said::NotLeading(None), Said::NotLeading(Some(u64::MAX))]) {
        let bytes = said.to_bytes();
        assert_eq!(Said::from_bytes(&bytes).as_ref(), Some(&said));
        let mut other = bytes.clone();
        other[0] += 1;
        assert_eq!(Said::from_bytes(&other), None, "another version");
        assert_eq!(Said::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
}
