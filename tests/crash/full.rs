//! A full disk: a small file system in memory that only this test's processes see, in a mount namespace of their own.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use netpay_tests::processes::{Process, World, until};

use crate::load::WORKERS;
use crate::scene::{AT_ONCE_MS, Scene};

/// Room on the disk, in KiB.
const DISK_KIB: u64 = 16_384;
/// Room that is left when it fills up: none, less than a record, a few records, many.
const LEFT_KIB: [u64; 4] = [0, 4, 32, 256];

/// See the module. Gone with the process that holds it.
struct SmallDisk {
    holder: Process,
    filler: PathBuf,
}

impl SmallDisk {
    /// Puts the world's ledger on one. From now on its programs are started where it is seen.
    fn under(world: &mut World) -> Self {
        let script = format!(
            "set -e; mkdir -p disk; mount -t tmpfs -o size={DISK_KIB}k netpay-test disk; mkdir disk/ledger; \
             cp -a broker/ledger/. disk/ledger/; mount --bind disk/ledger broker/ledger; echo mounted; exec sleep 3600"
        );
        let unshare = |own_users: bool| {
            let mut command = Command::new("unshare");
            command.args(if own_users { &["--user", "--map-root-user"][..] } else { &[] });
            command.args(["--mount", "sh", "-c", &script]).current_dir(world.dir.path());
            Process::start(command, &world.path("disk.log"))
        };
        // Where user namespaces are not to be had, root needs none.
        let mut own_users = true;
        let mut holder = unshare(own_users);
        until("a small disk", || {
            if holder.ended().is_some() {
                assert!(own_users, "neither a user namespace nor the right to mount: {}", holder.said());
                own_users = false;
                holder = unshare(own_users);
            }
            holder.said().contains("mounted").then_some(())
        });
        let target = format!("--target={}", holder.pid());
        let mut through = vec!["nsenter", &target, "--mount", "--wd"];
        through.extend(own_users.then_some(["--user", "--preserve-credentials"]).into_iter().flatten());
        world.through = through.into_iter().map(str::to_owned).collect();
        let filler = seen_by(&holder, world, "disk/filler");
        Self { holder, filler }
    }

    /// Fills it but for so much.
    fn fill_but(&self, left_kib: u64) {
        let mut filler = File::create(&self.filler).expect("a file in the namespace");
        let mut filled = 0;
        while filler.write_all(&[7; 1_024]).is_ok() {
            filled += 1_024;
        }
        filler.set_len(filled - (1_024 * left_kib).min(filled)).expect("a shorter file");
    }

    /// Makes room again.
    fn clear(&self) {
        std::fs::remove_file(&self.filler).expect("it was filled");
    }
}

/// A path in the world, as a process sees it.
fn seen_by(process: &Process, world: &World, name: &str) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", process.pid()));
    root.join(world.path(name).strip_prefix("/").expect("an absolute path"))
}

#[test]
fn a_full_disk_stops_the_broker_in_words_and_costs_nothing() {
    let mut scene = Scene::new("full disks");
    let disk = SmallDisk::under(&mut scene.stage.world);
    scene.stage.ledger = seen_by(&disk.holder, &scene.stage.world, "broker/ledger");
    scene.serve();
    scene.runtime.block_on(Arc::clone(&scene.clients).fund());
    scene.stage.stop();
    for _ in 0..scene.campaign.cycles {
        for left_kib in LEFT_KIB {
            scene.shim.forget();
            scene.serve();
            let load = scene.load(WORKERS);
            scene.acknowledged(10);
            disk.fill_but(left_kib);
            let late = scene.stops(&["No space left on device", "to write a file of its own"]);
            assert!(late < AT_ONCE_MS, "it went on for {late} ms");
            scene.campaign.tally.count("full disks");
            refuses_to_start(&mut scene);
            disk.clear();
            scene.recovers(load);
        }
    }
    scene.end(&["full disks", "starts on a full disk", "brokers that stopped", "replies lost", "sent again"]);
}

/// What is on the disk cannot be sorted into files on a full one: it says so, and does not call the ledger damaged.
fn refuses_to_start(scene: &mut Scene) {
    let mut broker = scene.start();
    let code = until("a refusal", || broker.ended());
    let said = broker.said();
    assert_ne!(code, Some(0));
    assert!(said.contains("the disk is full") && !said.contains("restore a backup"), "{said}");
    scene.campaign.tally.count("starts on a full disk");
}
