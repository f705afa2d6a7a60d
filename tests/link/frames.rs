//! What somebody on the bus without the cluster key can do with what it hears: nothing, not even get an answer.

use netpay_broker::bus::link::Dropped;
use netpay_broker::ports::Link as _;
use netpay_broker::ports::link::{Kind, LinkError};
use netpay_tests::processes::PATIENCE;

use crate::scene::{SHORT, Scene, answered, count, dropped, echo};

/// Version, topic, from, to, session, number, MAC; one byte of the body.
const HEADER_AND_ONE: usize = 1 + 1 + 8 + 8 + 16 + 8 + 32 + 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_key_is_dropped_and_counted_and_never_answered() {
    let scene = Scene::new();
    let (one, two, heard) = scene.pair().await;
    let stranger = scene.node_with(3, 9).await;
    let asked = stranger.request(2, Kind::Command, b"let me in".to_vec(), SHORT).await;
    assert_eq!(asked, Err(LinkError::Unreachable(2)), "it does not even get a session");
    dropped(&two, Dropped::Forged, 1).await;
    assert_eq!(one.request(3, Kind::Command, b"who is it".to_vec(), SHORT).await, Err(LinkError::Unreachable(3)));
    dropped(&stranger, Dropped::Forged, 1).await;
    assert_eq!((count(&heard), stranger.dropped(Dropped::ForgedAnswer)), (0, 0), "nothing was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_altered_in_any_byte_is_dropped_and_counted_and_never_answered() {
    let scene = Scene::new();
    let (one, two, heard) = scene.pair().await;
    let mut ear = scene.ear().await;
    answered(&one, 2, b"x").await;
    let (greeting, said) = (ear.overhear("greet").await, ear.overhear("command").await);
    assert_eq!(said.payload.len(), HEADER_AND_ONE);
    let mut sent = 0;
    for (op, good) in [("greet", greeting.payload.to_vec()), ("command", said.payload.to_vec())] {
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            ear.send(2, op, &bad).await;
            sent += 1;
        }
        ear.send(2, op, &good[..good.len() - 1]).await;
        ear.send(2, op, &[&good, b"y".as_slice()].concat()).await;
        ear.send(2, op, b"").await;
        sent += 3;
    }
    dropped(&two, Dropped::Forged, sent).await;
    assert_eq!(count(&heard), 1);
    assert_eq!(ear.answers(&one).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_again_is_dropped_whoever_started_anew_in_between() {
    let scene = Scene::new();
    let (one, two, heard) = scene.pair().await;
    let mut ear = scene.ear().await;
    answered(&one, 2, b"credit bob").await;
    let said = ear.overhear("command").await.payload;
    ear.send(2, "command", &said).await;
    // The subject is not what is believed.
    ear.send(2, "status", &said).await;
    dropped(&two, Dropped::Replayed, 2).await;

    // The sender starts anew: with its first message the session before is over.
    one.stop().await;
    drop(one);
    let one = scene.node(1).await;
    answered(&one, 2, b"hello again").await;
    ear.send(2, "command", &said).await;
    dropped(&two, Dropped::Replayed, 3).await;
    assert_eq!(count(&heard), 2);

    // The listener starts anew: it remembers nothing, and therefore believes nothing of before.
    two.stop().await;
    drop(two);
    let two = scene.node(2).await;
    let heard = echo(&two);
    ear.send(2, "command", &said).await;
    dropped(&two, Dropped::Replayed, 1).await;
    one.request(2, Kind::Command, vec![], SHORT).await.expect_err("of a session that it does not know");
    answered(&one, 2, b"and again").await;
    ear.send(2, "command", &said).await;
    dropped(&two, Dropped::Replayed, 3).await;
    assert_eq!(count(&heard), 1);
    assert_eq!(ear.answers(&one).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_sent_again_is_answered_and_changes_nothing() {
    let scene = Scene::new();
    let (one, two, _) = scene.pair().await;
    let mut ear = scene.ear().await;
    answered(&one, 2, b"first").await;
    let greeting = ear.overhear("greet").await.payload;
    for _ in 0..3 {
        ear.send(2, "greet", &greeting).await;
    }
    assert_eq!(one.request(2, Kind::Command, b"second".to_vec(), PATIENCE).await, Ok(b"second".to_vec()));
    assert_eq!(two.dropped(Dropped::Replayed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_another_node_and_ones_own_are_dropped() {
    let scene = Scene::new();
    let (one, two, heard) = scene.pair().await;
    let three = scene.node(3).await;
    let (at_one, at_three) = (echo(&one), echo(&three));
    let mut ear = scene.ear().await;
    answered(&one, 2, b"for two").await;
    let said = ear.overhear("command").await.payload;
    ear.send(3, "command", &said).await;
    dropped(&three, Dropped::NotForMe, 1).await;
    ear.send(1, "command", &said).await;
    dropped(&one, Dropped::MyOwn, 1).await;
    assert_eq!((count(&heard), count(&at_one), count(&at_three)), (1, 0, 0));
    assert_eq!(ear.answers(&one).await, 0);
    assert_eq!(two.dropped(Dropped::Replayed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_to_where_no_inbox_is() {
    let scene = Scene::new();
    let (one, two, _) = scene.pair().await;
    let mut ear = scene.ear().await;
    answered(&one, 2, b"first").await;
    let greeting = ear.overhear("greet").await.payload;
    ear.send_for("$JS.API.STREAM.DELETE.NETPAY_REDEEM", 2, "greet", &greeting).await;
    dropped(&two, Dropped::NoInbox, 1).await;
    ear.client.publish(format!("netpay.v1.cluster.{}.2.greet", crate::scene::BROKER), greeting).await.expect("a bus");
    dropped(&two, Dropped::NoInbox, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_somebody_else_is_not_believed() {
    let scene = Scene::new();
    let (one, _two, _) = scene.pair().await;
    let mut ear = scene.ear().await;
    // Nobody is node 3. The ear answers in its place: with nothing, with noise, with the question.
    for (times, answer) in [(1, None), (2, Some(vec![0; 100])), (3, Some(vec![]))] {
        let asking = one.request(3, Kind::Command, b"are you there".to_vec(), PATIENCE);
        let answering = async {
            let question = ear.overhear("3.greet").await;
            let answer = answer.unwrap_or_else(|| question.payload.to_vec());
            let inbox = question.reply.expect("it wants an answer");
            ear.client.publish(inbox, answer.into()).await.expect("a bus");
        };
        let (asked, ()) = futures::join!(asking, answering);
        assert_eq!(asked, Err(LinkError::Unreachable(3)));
        dropped(&one, Dropped::ForgedAnswer, times).await;
    }
}
