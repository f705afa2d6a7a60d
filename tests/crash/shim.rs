//! `shim.c`, compiled, and what it is told and says: a disk that fails on demand, and an eye on what is written when.

use std::path::{Path, PathBuf};
use std::process::Command;

use netpay_tests::processes::World;

/// See the module.
pub struct Shim {
    library: PathBuf,
    under: PathBuf,
    switch: PathBuf,
    notes: PathBuf,
}

impl Shim {
    /// Compiles it, for the ledger of the broker in this world.
    pub fn compile(world: &World) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crash/shim.c");
        let library = world.path("shim.so");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(cc.status().expect("there is a C compiler").success(), "{cc:?}");
        let under = world.dir.path().canonicalize().expect("it is there").join("broker/ledger");
        Self { library, under, switch: world.path("switch"), notes: world.path("notes") }
    }

    /// The environment of a process that it watches.
    pub fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &PathBuf| path.to_str().expect("plain letters").to_owned();
        [
            ("LD_PRELOAD", &self.library),
            ("NETPAY_FAULT_UNDER", &self.under),
            ("NETPAY_FAULT_SWITCH", &self.switch),
            ("NETPAY_FAULT_NOTES", &self.notes),
        ]
        .map(|(name, path)| (name.to_owned(), text(path)))
        .to_vec()
    }

    /// From now on this fails: `write 3 once EIO`.
    pub fn order(&self, order: &str) {
        let whole = self.switch.with_extension("new");
        std::fs::write(&whole, order).expect("written");
        std::fs::rename(whole, &self.switch).expect("renamed");
    }

    /// Nothing fails any more, and what was noted is forgotten.
    pub fn forget(&self) {
        for file in [&self.switch, &self.notes] {
            // It may not be there.
            let _ = std::fs::remove_file(file);
        }
    }

    /// What was noted since.
    pub fn notes(&self) -> String {
        std::fs::read_to_string(&self.notes).unwrap_or_default()
    }

    /// When the first thing failed.
    pub fn first_fault_ms(&self) -> Option<u64> {
        let notes = self.notes();
        let fault = notes.lines().find_map(|line| line.strip_prefix("fault "))?;
        Some(fault.split(' ').next().expect("a first word").parse().expect("a time"))
    }

    /// Answers that were sent after the first thing failed.
    pub fn answers_after_the_fault(&self) -> usize {
        let notes = self.notes();
        let after = notes.lines().skip_while(|line| !line.starts_with("fault "));
        after.filter(|line| *line == "answer").count()
    }
}
