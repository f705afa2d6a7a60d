//! The way back to whoever asked. Used exactly once; what is dropped unanswered says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::wire;

use super::Observe;

/// An answer: the message's bytes, or a problem.
pub type Answer = Result<Vec<u8>, Problem>;

/// How many requests are being worked on: what a stopping program waits for.
#[derive(Clone, Default)]
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// One request's way back.
pub struct Reply {
    op: &'static str,
    since: Instant,
    observe: Arc<dyn Observe>,
    in_flight: InFlight,
    send: Option<Box<dyn FnOnce(Answer) + Send>>,
}

impl Reply {
    /// A way back through `send`, which must not block.
    pub fn new(
        op: &'static str,
        observe: Arc<dyn Observe>,
        in_flight: InFlight,
        send: impl FnOnce(Answer) + Send + 'static,
    ) -> Self {
        in_flight.0.fetch_add(1, Ordering::AcqRel);
        Self { op, since: Instant::now(), observe, in_flight, send: Some(Box::new(send)) }
    }

    /// Answers with a message.
    pub fn message<T: minicbor::Encode<()>>(self, message: &T) {
        self.answer(Ok(wire::encode(message)));
    }

    /// Answers with a problem.
    pub fn problem(self, problem: Problem) {
        self.answer(Err(problem));
    }

    /// Answers either way.
    pub fn result<T: minicbor::Encode<()>>(self, result: Result<T, Problem>) {
        self.answer(result.map(|message| wire::encode(&message)));
    }

    fn answer(mut self, answer: Answer) {
        self.finish(answer);
    }

    fn finish(&mut self, answer: Answer) {
        let Some(send) = self.send.take() else { return };
        let result = answer.as_ref().map_or_else(|problem| problem.kind.name(), |_| "ok");
        self.observe.answered(self.op, result, self.since.elapsed());
        send(answer);
        self.in_flight.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.finish(Err(Problem::new(Kind::Unavailable, "the broker is stopping; send the same request again")));
    }
}
