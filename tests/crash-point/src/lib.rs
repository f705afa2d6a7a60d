//! Named places at which a test may kill a program: before and after every durable step and every send.
//!
//! Apart, because the broker and the agent use the same few lines and know nothing of one another, and because the test
//! that kills them reads the lists without building either. `Point::GrantKept.reached()` is all that a program says; a
//! name that is not in its list does not compile. A release build has no points: `reached` is empty there, and the
//! variables are not even read. A debug build reads two of them:
//!
//! * `NETPAY_CRASH_AT=NAME` or `NAME#k`: the process ends, as by `kill -9`, when it reaches NAME (for the k-th time);
//! * `NETPAY_CRASH_LOG=FILE`: every point that is reached adds its name to FILE, the last one included.

pub mod agent;
pub mod backup;
pub mod broker;
pub mod inbox;
pub mod replica;

/// The list of a program's points: `points! { Kept = "kept", Sent = "sent" }`.
macro_rules! points {
    ($($point:ident = $name:literal,)+) => {
        /// A place at which a test may kill this program.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Point {
            $(#[doc = $name] $point,)+
        }

        /// All of them.
        pub const POINTS: &[Point] = &[$(Point::$point,)+];

        impl Point {
            /// What it is called in `NETPAY_CRASH_AT`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)+
                }
            }

            /// Here a test may kill this program.
            #[inline]
            pub fn reached(self) {
                $crate::reached(self.name());
            }
        }
    };
}
use points;

/// Says that a point is reached, and ends the process if it is the one to crash at.
#[inline]
fn reached(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::reached(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeMap;
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// What the environment says, read once.
    struct Orders {
        at: Option<(String, u32)>,
        log: Option<PathBuf>,
        counts: Mutex<BTreeMap<&'static str, u32>>,
    }

    impl Orders {
        fn read() -> Self {
            let at = std::env::var("NETPAY_CRASH_AT").ok().map(|text| {
                let (name, time) = text.split_once('#').unwrap_or((&text, "1"));
                (name.to_owned(), time.parse().expect("NETPAY_CRASH_AT is NAME or NAME#k"))
            });
            Self { at, log: std::env::var_os("NETPAY_CRASH_LOG").map(PathBuf::from), counts: Mutex::default() }
        }
    }

    pub fn reached(name: &'static str) {
        static ORDERS: OnceLock<Orders> = OnceLock::new();
        let orders = ORDERS.get_or_init(Orders::read);
        if orders.at.is_none() && orders.log.is_none() {
            return;
        }
        // Held to the end, so that no other thread goes on meanwhile to another point.
        let mut counts = orders.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name).and_modify(|count| *count += 1).or_insert(1);
        if let Some(log) = &orders.log {
            let mut file = OpenOptions::new().append(true).create(true).open(log).expect("a log that can be written");
            file.write_all(format!("{name}\n").as_bytes()).expect("a log that can be written");
        }
        if orders.at.as_ref().is_some_and(|(at, time)| at == name && time == count) {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    crate::points! {
        First = "first",
        Second = "second",
    }

    /// Not a test by itself: the body of the process that the tests below start.
    fn walk() {
        for _ in 0..3 {
            Point::First.reached();
            Point::Second.reached();
        }
    }

    /// Runs [`walk`] in a process of its own; answers whether it went to its end, and its log.
    fn walked(at: Option<&str>) -> (bool, Vec<String>) {
        let nowhere = std::env::temp_dir().join(format!("netpay-crash-{}-{at:?}", std::process::id()));
        let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
        command.args(["--exact", "tests::only_in_a_process_of_its_own_does_it_walk"]);
        command.env("NETPAY_CRASH_LOG", &nowhere).env_remove("NETPAY_CRASH_AT");
        command.envs(at.map(|at| ("NETPAY_CRASH_AT", at)));
        let ended = command.output().expect("it starts");
        let log = std::fs::read_to_string(&nowhere).unwrap_or_default();
        let _ = std::fs::remove_file(&nowhere);
        (ended.status.success(), log.lines().map(str::to_owned).collect())
    }

    #[test]
    fn only_in_a_process_of_its_own_does_it_walk() {
        if std::env::var_os("NETPAY_CRASH_LOG").is_some() {
            walk();
        }
    }

    #[test]
    fn every_point_is_recorded_and_the_named_one_is_the_last() {
        let all = ["first", "second"].repeat(3);
        assert_eq!(walked(None), (true, all.iter().map(ToString::to_string).collect()));
        for (at, reached) in [("first", 1), ("second", 2), ("first#1", 1), ("first#3", 5), ("second#3", 6)] {
            let (ended_well, log) = walked(Some(at));
            assert!(!ended_well && log == all[..reached], "{at}: {log:?}");
        }
        assert!(walked(Some("first#4")).0, "one more than there are");
    }

    #[test]
    fn no_name_is_given_twice() {
        for names in [
            POINTS.iter().map(|point| point.name()).collect::<Vec<_>>(),
            crate::agent::POINTS.iter().map(|point| point.name()).collect(),
            crate::broker::POINTS.iter().map(|point| point.name()).collect(),
            crate::inbox::POINTS.iter().map(|point| point.name()).collect(),
        ] {
            let once: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(once.len(), names.len(), "{names:?}");
        }
    }
}
