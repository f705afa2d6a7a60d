//! A broker whose ledger is lost: killed, its directory gone, a backup in its place, serving again.

use std::fs;

use serde_json::Value;

use crate::processes::{Process, World};

/// Makes a backup, whole.
pub fn backup(world: &World, name: &str) -> Value {
    let made = world.broker(&["backup", "create", name]);
    let verified = world.ok("netpay-broker", &["--json", "backup", "verify", name]);
    assert_eq!((&verified["ok"], &verified["head"]), (&true.into(), &made["head"]), "{verified}");
    made
}

/// Loses the ledger.
pub fn lose(world: &World) {
    fs::rename(
        world.path("broker/ledger"),
        tempfile::tempdir_in(world.dir.path()).expect("ours").keep().join("ledger"),
    )
    .expect("there was one");
}

/// Kills the broker, loses its ledger, and restores a backup. Answers what restoring said.
pub fn restored(world: &World, broker: Process, name: &str) -> Value {
    broker.kill();
    lose(world);
    world.broker(&["backup", "restore", name])
}
