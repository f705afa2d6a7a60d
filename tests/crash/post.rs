//! Sends every request until it is answered, the same bytes each time, whoever died meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use netpay_protocol::ids::RequestId;
use netpay_protocol::problem::Problem;
use netpay_tests::campaign::Tally;
use netpay_tests::raw_peer::{RawPeer, now_ms};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long after a broker's death an answer that it sent before may still be under way.
const LAST_WORDS: Duration = Duration::from_millis(30);
/// How long a busy broker is left alone.
const BUSY: Duration = Duration::from_millis(2);

/// Which life the broker is in; none while it is dead.
pub type Life = Option<u64>;

/// See the module.
pub struct Post {
    /// What happened.
    pub tally: Arc<Tally>,
    life: watch::Receiver<Life>,
    settled: Mutex<BTreeMap<RequestId, Option<u64>>>,
}

impl Post {
    /// To the broker that lives like this.
    pub fn new(tally: Arc<Tally>, life: watch::Receiver<Life>) -> Self {
        Self { tally, life, settled: Mutex::default() }
    }

    /// Every request that was carried out, with the time, in ms, at which a broker died that had been sent it before.
    pub fn settled(&self) -> MutexGuard<'_, BTreeMap<RequestId, Option<u64>>> {
        self.settled.lock().expect("nobody fails while holding it")
    }

    /// Sends until there is an answer: what was asked for, or why not.
    pub async fn settle(
        &self,
        from: &RawPeer,
        subject: &str,
        request: RequestId,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Problem> {
        let mut life = self.life.clone();
        let (mut sent_before, mut died_ms) = (false, None);
        loop {
            let now = *life.wait_for(Option::is_some).await.expect("the broker's keeper lives");
            self.tally.count(if sent_before { "sent again" } else { "commands sent" });
            sent_before = true;
            let call = from.call(subject.to_owned(), bytes.to_vec());
            tokio::pin!(call);
            let answer = tokio::select! {
                biased;
                answer = &mut call => Some(answer),
                () = over(&mut life, now) => timeout(LAST_WORDS, &mut call).await.ok(),
            };
            match answer.map(|answer| answer.map_err(|error| error.downcast::<Problem>())) {
                Some(Ok(bytes)) => {
                    self.tally.count("acknowledged");
                    // What is asked for once more was settled by the first answer.
                    self.settled().entry(request).or_insert(died_ms);
                    return Ok(bytes);
                }
                Some(Err(Ok(problem))) if problem.kind.is_passing() => {
                    self.tally.count("told to come again");
                    sleep(BUSY).await;
                }
                Some(Err(Ok(problem))) => {
                    self.tally.count(format!("rejected {}", problem.kind.name()));
                    return Err(problem);
                }
                // Nobody was there, or nobody is any more.
                Some(Err(Err(_))) => sleep(BUSY).await,
                None => {
                    self.tally.count("replies lost");
                    died_ms = Some(now_ms());
                }
            }
        }
    }
}

/// Waits until the broker's life is another.
async fn over(life: &mut watch::Receiver<Life>, now: Life) {
    life.wait_for(|life| *life != now).await.expect("the broker's keeper lives");
}
