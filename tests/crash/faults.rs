//! A disk that returns errors: the broker stops at the first one, having said why and acknowledged nothing that may be
//! gone, and comes back clean when the disk is good again.

use std::sync::Arc;

use netpay_tests::processes::until;

use crate::load::WORKERS;
use crate::scene::Scene;

/// What fails, in a broker that serves. A single sync that failed is the worst: the next one says that all is well.
const FAULTS: [(&str, u64); 8] = [
    ("write 1 once", WORKERS),
    ("write 3 lasting", WORKERS),
    ("sync 1 once", WORKERS),
    ("sync 2 once", WORKERS),
    ("sync 7 lasting", WORKERS),
    ("write 2 once", 1),
    ("sync 1 once", 1),
    ("sync 4 once", 1),
];

/// With one worker only one request is under way, so that an answer after the error could only be to what failed.
#[test]
fn an_error_of_the_disk_stops_the_broker_before_it_acknowledges_anything_more() {
    let mut scene = Scene::new("errors of the disk");
    scene.serve();
    scene.runtime.block_on(Arc::clone(&scene.clients).fund());
    scene.stage.stop();
    for _ in 0..scene.campaign.cycles {
        for (order, workers) in FAULTS {
            scene.shim.forget();
            scene.serve();
            let load = scene.load(workers);
            scene.acknowledged(10);
            scene.shim.order(order);
            // The error may meet RocksDB while it sorts files beside the writer.
            scene.stops(&["Input/output error", "to write a file of its own"]);
            let kind = order.split(' ').next().expect("a first word");
            scene.campaign.tally.count(format!("errors on {kind}"));
            let after = scene.shim.answers_after_the_fault();
            assert!(workers > 1 || after == 0, "{order}: {after} answers after the error");
            scene.recovers(load);
        }
    }
    scene.end(&["errors on write", "errors on sync", "brokers that stopped", "replies lost", "sent again"]);
}

/// While it opens its ledger a broker writes and syncs files of every kind. It starts, or it says why not; whichever it
/// does, all is there afterwards.
#[test]
fn an_error_of_the_disk_while_starting_is_said_and_costs_nothing() {
    let mut scene = Scene::new("errors while starting");
    scene.serve();
    scene.runtime.block_on(Arc::clone(&scene.clients).fund());
    for _ in 0..scene.campaign.cycles {
        for nth in [1, 2, 3, 5, 8, 13, 21, 34] {
            for operation in ["write", "sync"] {
                let load = scene.load(WORKERS);
                scene.acknowledged(10);
                scene.stage.kill();
                scene.shim.forget();
                scene.shim.order(&format!("{operation} {nth} lasting"));
                let mut broker = scene.start();
                let ended = until("a start or an end", || {
                    broker.ended().or_else(|| broker.said().contains("\"ready\":true").then_some(Some(0)))
                });
                let said = broker.said();
                if ended == Some(0) {
                    scene.campaign.tally.count("starts that needed less");
                } else {
                    assert!(said.contains("Input/output error"), "{said}");
                    scene.campaign.tally.count(format!("starts refused for a {operation}"));
                }
                broker.kill();
                scene.recovers(load);
                scene.serve();
            }
        }
    }
    scene.stage.stop();
    scene.end(&["starts refused for a write", "starts refused for a sync"]);
}
