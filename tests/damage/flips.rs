//! Bits that flip, blocks that come back as zeros, ends that are missing, anywhere in any file.

use std::sync::atomic::{AtomicUsize, Ordering};

use netpay_tests::campaign::{Campaign, Dice};

use crate::judge::{Found, Opened, judge};
use crate::specimen::Specimen;

/// Does something with every item, on two threads; answers in order.
pub fn both_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return done };
            done.push((place, work(item)));
        }
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().expect("no case fails")).collect()
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// One damage.
#[derive(Clone, Debug)]
struct Damage {
    file: String,
    kind: &'static str,
    at: usize,
    bit: u8,
    opened: Opened,
}

/// What a file is, by its name.
fn role(file: &str) -> &'static str {
    match file {
        "CURRENT" => "CURRENT",
        "IDENTITY" => "IDENTITY",
        "LOCK" => "LOCK",
        _ if file.ends_with(".log") => "write-ahead log",
        _ if file.ends_with(".sst") => "sorted file",
        _ if file.starts_with("MANIFEST") => "MANIFEST",
        _ if file.starts_with("OPTIONS") => "OPTIONS",
        _ if file.starts_with("LOG") => "program's log",
        _ => "another file",
    }
}

/// Half of the damage goes where the ledger is, shared out evenly; the other half anywhere.
fn draw(specimen: &Specimen, dice: &mut Dice) -> Damage {
    let files: Vec<_> = specimen.files().into_iter().filter(|file| !specimen.read(file).is_empty()).collect();
    let roles = ["write-ahead log", "sorted file", "MANIFEST", "CURRENT"];
    let role_drawn = *dice.one(&roles);
    let heart: Vec<_> = files.iter().filter(|file| role(file) == role_drawn).cloned().collect();
    let file = if dice.below(2) == 0 { dice.one(&heart) } else { dice.one(&files) }.clone();
    let length = specimen.read(&file).len();
    let kind = match dice.below(8) {
        0..4 => "bit flipped",
        4 => "512 bytes zeroed",
        5 => "4096 bytes zeroed",
        6 => "32768 bytes zeroed",
        _ => "cut short",
    };
    let opened = *dice.one(&[Opened::ToServe, Opened::ToRead]);
    Damage { at: dice.place(length), bit: 1 << dice.below(8), file, kind, opened }
}

impl Damage {
    /// The file's bytes with it; `None` if it changes none.
    fn bytes(&self, specimen: &Specimen) -> Option<Vec<u8>> {
        let before = specimen.read(&self.file);
        let mut bytes = before.clone();
        let mut zero = |block: usize| {
            let from = self.at / block * block;
            let to = (from + block).min(bytes.len());
            bytes[from..to].fill(0);
        };
        match self.kind {
            "cut short" => bytes.truncate(self.at),
            "32768 bytes zeroed" => zero(32_768),
            "512 bytes zeroed" => zero(512),
            "4096 bytes zeroed" => zero(4_096),
            _ => bytes[self.at] ^= self.bit,
        }
        (bytes != before).then_some(bytes)
    }
}

#[test]
fn no_flipped_bit_and_no_zeroed_block_makes_another_ledger_in_silence() {
    let specimen = Specimen::make();
    let campaign = Campaign::start("damage", "flips", 1_000, 10_000);
    let mut dice = campaign.dice(0);
    let mut cases = Vec::new();
    while campaign.goes_on(u64::try_from(cases.len()).expect("few")) {
        let damage = draw(&specimen, &mut dice);
        if let Some(bytes) = damage.bytes(&specimen) {
            cases.push((damage, bytes));
        }
    }
    let found = both_cores(&cases, |(damage, bytes)| {
        judge(&specimen, specimen.with(&damage.file, bytes).path(), damage.opened)
    });
    let mut different = Vec::new();
    for ((damage, _), found) in cases.iter().zip(&found) {
        let role = role(&damage.file);
        campaign.tally.count(format!("{role}: {}", found.name()));
        campaign.tally.count(role);
        campaign.tally.count(damage.kind);
        campaign.tally.count(found.name());
        campaign.tally.count(format!("{:?}", damage.opened));
        if let Found::Different(what) = found {
            different.push(format!("{damage:?}: {what}"));
        }
        assert!(found.said().is_none_or(|said| !said.trim().is_empty()), "refused without a word: {damage:?}");
        if std::env::var_os("NETPAY_SHOW").is_some() {
            println!("{damage:?} {found:?}");
        }
    }
    assert!(different.is_empty(), "{} of {} cases:\n{}", different.len(), cases.len(), different.join("\n"));
    campaign.end(&[
        "CURRENT",
        "IDENTITY",
        "MANIFEST",
        "OPTIONS",
        "write-ahead log",
        "sorted file",
        "bit flipped",
        "512 bytes zeroed",
        "4096 bytes zeroed",
        "32768 bytes zeroed",
        "cut short",
        "ToServe",
        "ToRead",
        "refused at opening",
        "refused when read",
        "an earlier ledger",
        "the same ledger",
    ]);
}
