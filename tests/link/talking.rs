//! Nodes that speak to one another: answers, refusals, limits, silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use netpay_broker::bus::link::Dropped;
use netpay_broker::ports::Link as _;
use netpay_broker::ports::link::{Kind, LinkError, MAX_BYTES, Refused};
use netpay_tests::processes::PATIENCE;
use tokio::sync::Semaphore;

use crate::scene::{SHORT, Scene, answered, count, dropped, echo};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_each_kind_is_answered_by_its_handler_who_is_told_the_sender() {
    let scene = Scene::new();
    let (one, two) = (scene.node(1).await, scene.node(2).await);
    let sender = Arc::new(AtomicU64::new(0));
    for kind in Kind::ALL {
        let told = Arc::clone(&sender);
        two.serve(
            kind,
            Box::new(move |from, bytes| {
                told.store(from, Ordering::SeqCst);
                async move { Ok(format!("{kind:?} {}", String::from_utf8_lossy(&bytes)).into_bytes()) }.boxed()
            }),
        );
        let answer = one.request(2, kind, b"said".to_vec(), PATIENCE).await;
        assert_eq!(answer, Ok(format!("{kind:?} said").into_bytes()));
        assert_eq!(sender.swap(0, Ordering::SeqCst), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_unreachable_a_node_refuses_what_it_has_no_handler_for_and_nobody_speaks_to_itself() {
    let scene = Scene::new();
    let (one, _two) = (scene.node(1).await, scene.node(2).await);
    let ask = |to| one.request(to, Kind::Vote, vec![], PATIENCE);
    assert_eq!(ask(3).await, Err(LinkError::Unreachable(3)));
    let refused = Err(LinkError::Refused(2, Refused("it takes no Vote messages yet".into())));
    assert_eq!(ask(2).await, refused);
    assert_eq!(ask(1).await, Err(LinkError::Refused(1, Refused("it is this node itself".into()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_refusal_arrives_in_its_words() {
    let scene = Scene::new();
    let (one, two) = (scene.node(1).await, scene.node(2).await);
    two.serve(Kind::Status, Box::new(|_, _| async { Err(Refused("not today".into())) }.boxed()));
    let answer = one.request(2, Kind::Status, vec![], PATIENCE).await;
    assert_eq!(answer, Err(LinkError::Refused(2, Refused("not today".into()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_message_and_answer_arrive_and_one_byte_more_does_not() {
    let scene = Scene::new();
    let (one, two, heard) = scene.pair().await;
    let longest = vec![0x5a; MAX_BYTES];
    assert_eq!(answered(&one, 2, &longest).await, longest);
    let before = count(&heard);
    let refused = one.request(2, Kind::Command, vec![0; MAX_BYTES + 1], PATIENCE).await;
    assert!(matches!(refused, Err(LinkError::Refused(2, _))), "{refused:?}");
    assert_eq!(count(&heard), before, "it was not sent");
    two.serve(Kind::Status, Box::new(|_, _| async { Ok(vec![0; MAX_BYTES + 1]) }.boxed()));
    let late = one.request(2, Kind::Status, vec![], SHORT).await;
    assert_eq!(late, Err(LinkError::Late(2)), "it was carried out, so it is not refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_slower_than_the_patience_is_a_late_answer_and_hurts_nobody_else() {
    let scene = Scene::new();
    let (one, two, _) = scene.pair().await;
    let gate = Arc::new(Semaphore::new(0));
    let shut = Arc::clone(&gate);
    two.serve(
        Kind::Append,
        Box::new(move |_, bytes| {
            let shut = Arc::clone(&shut);
            async move {
                shut.acquire().await.map_err(|error| Refused(error.to_string()))?.forget();
                Ok(bytes)
            }
            .boxed()
        }),
    );
    // Another kind first: it gets its session, and is answered while the slow one is worked on.
    assert_eq!(answered(&one, 2, b"quick").await, b"quick");
    assert_eq!(one.request(2, Kind::Append, b"slow".to_vec(), SHORT).await, Err(LinkError::Late(2)));
    assert_eq!(answered(&one, 2, b"quick again").await, b"quick again");
    gate.add_permits(1);
    assert_eq!(answered(&one, 2, b"and after").await, b"and after");
    assert_eq!(one.dropped(Dropped::ForgedAnswer), 0, "an answer that came late is no forgery");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_worked_on_up_to_its_bound_and_one_more_is_refused() {
    let scene = Scene::new();
    let (one, two, _) = scene.pair().await;
    let (gate, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (shut, inside) = (Arc::clone(&gate), Arc::clone(&entered));
    two.serve(
        Kind::Snapshot,
        Box::new(move |_, bytes| {
            let (shut, inside) = (Arc::clone(&shut), Arc::clone(&inside));
            async move {
                inside.add_permits(1);
                shut.acquire().await.map_err(|error| Refused(error.to_string()))?.forget();
                Ok(bytes)
            }
            .boxed()
        }),
    );
    answered(&one, 2, b"a session").await;
    let ask = || one.request(2, Kind::Snapshot, b"piece".to_vec(), PATIENCE);
    let (first, second) = (ask(), ask());
    let third = async {
        entered.acquire_many(2).await.expect("open").forget();
        let third = ask().await;
        assert!(matches!(&third, Err(LinkError::Refused(2, why)) if why.0.contains("works on 2")), "{third:?}");
        assert_eq!(answered(&one, 2, b"other kinds go on").await, b"other kinds go on");
        gate.add_permits(2);
    };
    let (first, second, ()) = futures::join!(first, second, third);
    assert_eq!((first, second), (Ok(b"piece".to_vec()), Ok(b"piece".to_vec())));
    gate.add_permits(1);
    assert_eq!(ask().await, Ok(b"piece".to_vec()), "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_server_a_node_is_cut_off_at_once_and_speaks_again_when_it_is_back() {
    let mut scene = Scene::new();
    let (one, two, heard) = scene.pair().await;
    answered(&one, 2, b"before").await;
    scene.world.stop_nats();
    let start = std::time::Instant::now();
    while one.is_connected() || two.is_connected() {
        assert!(start.elapsed() < PATIENCE, "they do not notice");
        tokio::task::yield_now().await;
    }
    let before = count(&heard);
    assert_eq!(one.request(2, Kind::Command, b"lost".to_vec(), PATIENCE).await, Err(LinkError::Unreachable(2)));
    scene.world.start_nats();
    assert_eq!(answered(&one, 2, b"after").await, b"after");
    assert_eq!(count(&heard), before + 1, "what could not be sent does not arrive afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_started_anew_is_heard_and_hears() {
    let scene = Scene::new();
    let (one, two, _) = scene.pair().await;
    answered(&one, 2, b"before").await;
    two.stop().await;
    drop(two);
    let two = scene.node(2).await;
    echo(&two);
    echo(&one);
    // Of its session with the one before, this node knows nothing: the first message may be lost.
    let first = one.request(2, Kind::Command, b"perhaps".to_vec(), SHORT).await;
    assert_eq!(first, Err(LinkError::Late(2)));
    dropped(&two, Dropped::Replayed, 1).await;
    assert_eq!(answered(&one, 2, b"after").await, b"after");
    assert_eq!(answered(&two, 1, b"back").await, b"back");
}
