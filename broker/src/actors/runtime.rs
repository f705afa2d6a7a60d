//! Running actors. The only file that knows actix; leaving it costs this file.
//!
//! What it works around: actix counts its mailbox limit per sender, and a sync pool has none at all, so the bound is ours
//! (a count of messages sent and not yet taken, exact for every sender together). A panicking handler would die silently,
//! so panics end the process (see `main`). Arbiters outlive the system, so they are joined.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Actor, Arbiter, Context, Handler as ActixHandler, Message, SyncArbiter, SyncContext};

/// What an actor does with a message.
pub trait Handler: 'static {
    /// What it takes.
    type Message: Send + 'static;
    /// Takes one; `waiting` more are in the queue behind it.
    fn handle(&mut self, message: Self::Message, waiting: usize);
}

/// Where messages to an actor (or a pool of them) go.
pub struct Address<M> {
    send: Arc<dyn Fn(M) + Send + Sync>,
    queue: Queue,
}

/// The queue was full; here is the message back.
#[derive(Debug)]
pub struct Full<M>(pub M);

#[derive(Clone)]
struct Queue {
    waiting: Arc<AtomicUsize>,
    bound: usize,
}

impl Queue {
    fn new(bound: usize) -> Self {
        Self { waiting: Arc::default(), bound }
    }

    fn enter(&self) -> bool {
        let room = |waiting| (waiting < self.bound).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok()
    }

    /// Returns how many are left.
    fn leave(&self) -> usize {
        self.waiting.fetch_sub(1, Ordering::AcqRel) - 1
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { send: Arc::clone(&self.send), queue: self.queue.clone() }
    }
}

impl<M> Address<M> {
    /// Puts a message into the queue, if there is room.
    pub fn try_send(&self, message: M) -> Result<(), Full<M>> {
        if !self.queue.enter() {
            return Err(Full(message));
        }
        (self.send)(message);
        Ok(())
    }

    /// How many messages wait.
    pub fn waiting(&self) -> usize {
        self.queue.waiting.load(Ordering::Acquire)
    }
}

struct Envelope<M>(M);

impl<M: Send + 'static> Message for Envelope<M> {
    type Result = ();
}

struct Running<H> {
    handler: H,
    queue: Queue,
}

impl<H: Handler + Unpin> Actor for Running<H> {
    type Context = Context<Self>;
}

impl<H: Handler + Unpin> ActixHandler<Envelope<H::Message>> for Running<H> {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<H::Message>, _: &mut Self::Context) {
        let waiting = self.queue.leave();
        self.handler.handle(envelope.0, waiting);
    }
}

struct Pooled<H> {
    handler: H,
    queue: Queue,
}

impl<H: Handler + Unpin> Actor for Pooled<H> {
    type Context = SyncContext<Self>;
}

impl<H: Handler + Unpin> ActixHandler<Envelope<H::Message>> for Pooled<H> {
    type Result = ();
    fn handle(&mut self, envelope: Envelope<H::Message>, _: &mut Self::Context) {
        let waiting = self.queue.leave();
        self.handler.handle(envelope.0, waiting);
    }
}

/// The actors of one program.
#[derive(Default)]
pub struct Actors {
    arbiters: Vec<Arbiter>,
}

impl Actors {
    /// Runs one actor on a thread of its own. Call it inside [`run`].
    pub fn start<H: Handler + Unpin + Send>(&mut self, bound: usize, handler: H) -> Address<H::Message> {
        let queue = Queue::new(bound);
        let running = Running { handler, queue: queue.clone() };
        let arbiter = Arbiter::new();
        let address = Running::start_in_arbiter(&arbiter.handle(), |_| running);
        self.arbiters.push(arbiter);
        Address { send: Arc::new(move |message| address.do_send(Envelope(message))), queue }
    }

    /// Runs a pool: each message is taken by whichever of `threads` actors is free.
    pub fn start_pool<H: Handler + Unpin>(
        &mut self,
        threads: usize,
        bound: usize,
        make: impl Fn() -> H + Send + Sync + 'static,
    ) -> Address<H::Message> {
        let queue = Queue::new(bound);
        let inside = queue.clone();
        let address = SyncArbiter::start(threads, move || Pooled { handler: make(), queue: inside.clone() });
        Address { send: Arc::new(move |message| address.do_send(Envelope(message))), queue }
    }

    /// Stops the arbiters and waits for their threads. The caller made sure that no queue holds work any more.
    pub fn stop(self) {
        for arbiter in self.arbiters {
            arbiter.stop();
            // A thread that panicked has ended the process before.
            let _ = arbiter.join();
        }
    }
}

/// Runs a program in which actors can be started.
pub fn run<F: Future>(program: F) -> F::Output {
    actix::System::new().block_on(program)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Gate {
        started: mpsc::Sender<u32>,
        open: mpsc::Receiver<()>,
    }

    impl Handler for Gate {
        type Message = u32;
        fn handle(&mut self, message: u32, _: usize) {
            self.started.send(message).expect("the test listens");
            self.open.recv().expect("the test opens");
        }
    }

    #[test]
    fn a_queue_takes_its_bound_and_not_one_more_from_however_many_senders() {
        run(async {
            let (started, starting) = mpsc::channel();
            let (opener, open) = mpsc::channel();
            let mut actors = Actors::default();
            let address = actors.start(3, Gate { started, open });
            address.try_send(0).expect("room");
            assert_eq!(starting.recv(), Ok(0), "taken: the queue is empty again");
            for i in 1..=3 {
                address.clone().try_send(i).expect("room");
            }
            assert_eq!(address.clone().try_send(4).map_err(|full| full.0), Err(4));
            assert_eq!(address.waiting(), 3);
            for i in 1..=3 {
                opener.send(()).expect("the gate waits");
                assert_eq!(starting.recv(), Ok(i));
            }
            address.try_send(5).expect("room again");
            opener.send(()).expect("the gate waits");
            assert_eq!(starting.recv(), Ok(5));
            opener.send(()).expect("the gate waits");
            actors.stop();
        });
    }
}
