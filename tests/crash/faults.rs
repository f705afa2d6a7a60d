//! A disk that returns errors: the broker stops at the first one, having said why and acknowledged nothing that may be
//! gone, and comes back clean when the disk is good again.

use std::sync::Arc;

use netpay_tests::processes::until;

use crate::load::WORKERS;
use crate::scene::{AT_ONCE_MS, Scene};

/// What fails, in a broker that serves. A single sync that failed is the worst: the next one says that all is well.
const FAULTS: [(&str, u64); 8] = [
    ("write 1 once EIO", WORKERS),
    ("write 3 lasting EIO", WORKERS),
    ("sync 1 once EIO", WORKERS),
    ("sync 2 once EIO", WORKERS),
    ("sync 7 lasting EIO", WORKERS),
    ("write 2 once EIO", 1),
    ("sync 1 once EIO", 1),
    ("sync 4 once EIO", 1),
];

/// Which write or sync fails, of those that sorting files takes: of the new file, its folder, the list of files.
const WHILE_SORTING: [(u64, &str); 5] = [(1, "EIO"), (3, "EIO"), (1, "ENOSPC"), (2, "ENOSPC"), (3, "ENOSPC")];
/// A start among so many has files to sort.
const MOST_STARTS: u64 = 12;

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
            let late = scene.stops(&["Input/output error", "to write a file of its own"]);
            assert!(late < AT_ONCE_MS, "it went on for {late} ms");
            let kind = order.split(' ').next().expect("a first word");
            scene.campaign.tally.count(format!("errors on {kind}"));
            let after = scene.shim.answers_after_the_fault();
            assert!(workers > 1 || after == 0, "{order}: {after} answers after the error");
            scene.recovers(load);
        }
    }
    scene.end(&["errors on write", "errors on sync", "brokers that stopped", "replies lost", "sent again"]);
}

/// RocksDB sorts files beside the writer, tries again by itself when that failed, and would go on taking writes.
#[test]
fn an_error_beside_the_writer_stops_the_broker_at_its_next_commit() {
    let mut scene = Scene::new("errors beside the writer");
    scene.serve();
    scene.runtime.block_on(Arc::clone(&scene.clients).fund());
    for _ in 0..scene.campaign.cycles {
        for (nth, error) in WHILE_SORTING {
            let load = scene.load(WORKERS);
            // Each start makes files of what the last one logged; the fourth or so has them sorted into one.
            for _ in 0..MOST_STARTS {
                scene.stage.kill();
                scene.shim.forget();
                scene.shim.order(&format!("sort {nth} once {error}"));
                scene.serve();
                if !scene.acknowledged_before_an_error(10) {
                    break;
                }
            }
            scene.stops(&["Input/output error", "No space left on device", "to write a file of its own"]);
            scene.recovers(load);
            scene.serve();
        }
    }
    scene.stage.stop();
    scene.end(&["brokers that stopped"]);
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
                scene.shim.order(&format!("{operation} {nth} lasting EIO"));
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
