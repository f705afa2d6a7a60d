//! Kills agent and broker at every named point, on either side of every durable step and every send, and compares what
//! came of it; and sends every request twice, and late.

mod homes;
mod scene;
mod stage;
mod wiretap;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use netpay_crash_point::{agent, broker};
use scene::{Case, Play, Scene};
use stage::Stage;
use wiretap::{Tap, Wish};

/// Stages at once. Most of a case is waiting, for a process to be ready or for an answer that never comes.
const STAGES: usize = 5;
/// A process that serves reaches its points at every request: so many times each.
const TIMES_SERVING: u32 = 5;

/// How often each step of each play reaches each point when nobody dies.
type Reached = BTreeMap<(Play, String, String), u32>;

/// Plays everything with nobody dying.
fn points_reached(stage: &mut Stage) -> Reached {
    let mut reached = BTreeMap::new();
    for play in [Play::Trade, Play::Keys, Play::Loss] {
        let tag = format!("dry-{play:?}");
        let mut scene = Scene::new(stage, &tag, play, None);
        assert_eq!(scene.play(), scene.expected());
        scene.audit();
        let world = &stage.town.world;
        for entry in std::fs::read_dir(world.dir.path()).expect("a directory") {
            let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
            let step = name.strip_prefix(&tag).and_then(|name| name.strip_prefix('.'));
            let Some(step) = step.and_then(|name| name.strip_suffix(".points")) else { continue };
            for point in std::fs::read_to_string(world.path(&name)).expect("a log").lines() {
                *reached.entry((play, step.to_owned(), point.to_owned())).or_insert(0) += 1;
            }
        }
    }
    reached
}

/// Whether somebody is to die here. Broker and supplier die in the day of trade, and besides where only a lost home leads
/// them.
fn is_a_case(play: Play, step: &str, point: &str) -> bool {
    match (play, step) {
        (Play::Loss, "broker") => point == "question.answering",
        (Play::Loss, "keep") => ["batch.", "statement.", "folder."].iter().any(|of| point.starts_with(of)),
        _ => true,
    }
}

/// Every place to die in. Whoever hunts for one case names a part of it in `NETPAY_CRASH_ONLY`, as in `get: grant.kept#2`.
fn cases(reached: &Reached) -> VecDeque<Case> {
    let only = std::env::var("NETPAY_CRASH_ONLY").unwrap_or_default();
    let mut cases = VecDeque::new();
    for ((play, step, point), times) in reached.iter().filter(|((play, step, point), _)| is_a_case(*play, step, point))
    {
        let serves = ["broker", "serve", "keep"].contains(&step.as_str());
        let most = match point.as_str() {
            // The first one is a wallet that asks for its e-coins; later ones are asked to see how it all ended.
            "question.answering" => 1,
            _ if serves => TIMES_SERVING,
            _ => u32::MAX,
        };
        for time in 1..=(*times).min(most) {
            let case = Case { play: *play, step: step.clone(), point: point.clone(), time };
            if case.to_string().contains(&only) {
                cases.push_back(case);
            }
        }
    }
    cases
}

/// Takes cases until there are none; answers what went wrong. A stage where something did is not used again.
fn work(cases: &Mutex<VecDeque<Case>>, worker: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut stage = Stage::default();
    let mut scenes = 0;
    loop {
        let Some(case) = cases.lock().expect("nobody panics holding it").pop_front() else { return wrong };
        let tag = format!("w{worker}s{scenes}");
        scenes += 1;
        let started = std::time::Instant::now();
        let played = catch_unwind(AssertUnwindSafe(|| {
            let mut scene = Scene::new(&mut stage, &tag, case.play, Some(case.clone()));
            assert_eq!(scene.play(), scene.expected());
            scene.audit();
        }));
        println!("{case}, {} ms", started.elapsed().as_millis());
        if let Err(panic) = played {
            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
            wrong.push(format!("{case}: {text}"));
            stage = Stage::default();
        }
    }
}

#[test]
fn whoever_is_killed_wherever_every_cent_ends_in_its_place() {
    let started = std::time::Instant::now();
    let reached = points_reached(&mut Stage::default());
    let all: BTreeSet<&str> = agent::POINTS.iter().map(|point| point.name()).collect();
    let brokers: BTreeSet<&str> = broker::POINTS.iter().map(|point| point.name()).collect();
    let of = |broker: bool| -> BTreeSet<&str> {
        let steps = reached.keys().filter(|(_, step, _)| (step == "broker") == broker);
        steps.map(|(_, _, point)| point.as_str()).collect()
    };
    assert_eq!(of(false), all, "the agent's points that are reached, and those that are listed");
    assert_eq!(of(true), brokers, "the broker's points that are reached, and those that are listed");
    let cases = Mutex::new(cases(&reached));
    let count = cases.lock().expect("nobody else has it").len();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let cases = &cases;
        let workers: Vec<_> = (0..STAGES).map(|worker| scope.spawn(move || work(cases, worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("it catches its panics")).collect()
    });
    println!(
        "{} points of the agent and {} of the broker, killed at {count} times in {} s",
        all.len(),
        brokers.len(),
        started.elapsed().as_secs()
    );
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_request_that_arrives_twice_is_carried_out_once() {
    let mut stage = Stage::default();
    let tap = Tap::start(&stage.town.world.nats_url(), Wish::SendAgain);
    let mut scene = Scene::new(&mut stage, "twice", Play::Trade, None);
    assert_eq!(scene.play(), scene.expected());
    scene.audit();
    tap.has_heard_everything();
}

#[test]
fn requests_that_arrive_late_change_nothing_in_any_order() {
    let mut stage = Stage::default();
    let tap = Tap::start(&stage.town.world.nats_url(), Wish::Record);
    let mut scene = Scene::new(&mut stage, "late", Play::Trade, None);
    assert_eq!(scene.play(), scene.expected());
    tap.has_heard_everything();
    scene.restart();
    for order in ["as they came", "backwards"] {
        let before = scene.everything();
        tap.replay(order == "backwards");
        assert_eq!(scene.everything(), before, "{order}");
    }
    assert_eq!(scene.outcome(), scene.expected());
    scene.audit();
}
