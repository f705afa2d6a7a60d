//! Sessions: why a message that was heard once is never heard again.
//!
//! Who listens draws a random number for who wants to speak; messages carry it, and a number of their own that is taken once.
//! Neither side's restart brings old messages back: the listener forgets its sessions, and a speaker that starts anew gets
//! another, which ends the one before with its first message. No clock is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::Rng as _;

use super::frame::SessionId;
use crate::keys::rng;
use crate::ports::link::NodeId;

/// How far a message may be behind the newest of its session: what the sender has in flight is far less.
const WINDOW: usize = 4_096;

/// A number nobody has drawn before.
pub(super) fn fresh() -> SessionId {
    let mut id = SessionId::default();
    rng().fill_bytes(&mut id);
    id
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who speaks to this node.
#[derive(Default)]
pub(super) struct Heard(Mutex<BTreeMap<NodeId, Speaker>>);

#[derive(Default)]
struct Speaker {
    /// Given out, and not spoken in yet: a greeting that is heard twice changes nothing.
    offered: Option<SessionId>,
    /// The one spoken in.
    current: Option<(SessionId, Numbers)>,
}

/// The numbers taken: all below `floor`, and these.
#[derive(Default)]
struct Numbers {
    floor: u64,
    taken: BTreeSet<u64>,
}

impl Numbers {
    fn take(&mut self, number: u64) -> bool {
        if number < self.floor || !self.taken.insert(number) {
            return false;
        }
        if self.taken.len() > WINDOW
            && let Some(lowest) = self.taken.pop_first()
        {
            self.floor = lowest + 1;
        }
        true
    }
}

impl Heard {
    /// The session that this node may speak in from now on.
    pub fn greet(&self, from: NodeId) -> SessionId {
        *lock(&self.0).entry(from).or_default().offered.get_or_insert_with(fresh)
    }

    /// Whether this is a message not heard before, of the speaker's session.
    pub fn admit(&self, from: NodeId, session: SessionId, number: u64) -> bool {
        let mut speakers = lock(&self.0);
        let Some(speaker) = speakers.get_mut(&from) else { return false };
        if speaker.offered == Some(session) {
            speaker.offered = None;
            speaker.current = Some((session, Numbers::default()));
        }
        speaker.current.as_mut().is_some_and(|(current, numbers)| *current == session && numbers.take(number))
    }
}

/// To whom this node speaks.
#[derive(Default)]
pub(super) struct Spoken {
    sessions: Mutex<BTreeMap<NodeId, SessionId>>,
    next: AtomicU64,
}

impl Spoken {
    /// The session with this node, if there is one.
    pub fn with(&self, to: NodeId) -> Option<SessionId> {
        lock(&self.sessions).get(&to).copied()
    }

    /// From now on this session.
    pub fn begin(&self, to: NodeId, session: SessionId) {
        lock(&self.sessions).insert(to, session);
    }

    /// It may be that nobody listens to this session any more: greet before the next message.
    pub fn doubt(&self, to: NodeId, session: SessionId) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(&to) == Some(&session) {
            sessions.remove(&to);
        }
    }

    /// A number for one message, whoever it is for.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_in_any_order_and_never_after_it_is_far_behind() {
        let heard = Heard::default();
        let session = heard.greet(1);
        for number in [0, 5, 3, 4] {
            assert!(heard.admit(1, session, number), "{number}");
            assert!(!heard.admit(1, session, number), "{number} again");
        }
        let window = u64::try_from(WINDOW).expect("small");
        (10..10 + window).for_each(|number| assert!(heard.admit(1, session, number)));
        assert!(!heard.admit(1, session, 1), "too old, though never heard");
        assert!(!heard.admit(1, session, 10), "heard");
    }

    #[test]
    fn a_session_is_drawn_by_the_listener_for_one_speaker() {
        let heard = Heard::default();
        assert!(!heard.admit(1, fresh(), 0), "never greeted");
        let session = heard.greet(1);
        assert!(!heard.admit(1, fresh(), 0) && !heard.admit(2, session, 0));
        assert!(heard.admit(1, session, 0));
        assert!(!Heard::default().admit(1, session, 1), "a listener that started anew");
    }

    #[test]
    fn a_new_session_ends_the_one_before_with_its_first_message_and_not_sooner() {
        let heard = Heard::default();
        let old = heard.greet(1);
        assert!(heard.admit(1, old, 0));
        let new = heard.greet(1);
        assert_ne!(old, new);
        assert_eq!(heard.greet(1), new, "a greeting heard twice");
        assert!(heard.admit(1, old, 1), "somebody's old greeting, sent again, ends nothing");
        assert!(heard.admit(1, new, 0));
        assert!(!heard.admit(1, old, 2), "over");
    }

    #[test]
    fn a_session_in_doubt_is_given_up_unless_there_is_a_newer_one() {
        let (spoken, old, new) = (Spoken::default(), fresh(), fresh());
        spoken.begin(2, old);
        spoken.doubt(2, old);
        assert_eq!(spoken.with(2), None);
        spoken.begin(2, new);
        spoken.doubt(2, old);
        assert_eq!(spoken.with(2), Some(new));
        assert_ne!(spoken.number(), spoken.number());
    }
}
