//! What kill -9 cannot show: a write that was not synced survives it, and is gone after a power cut. So the order is looked
//! at in which a broker writes, syncs and answers.

use std::sync::Arc;

use netpay_protocol::suite::Suite;
use netpay_tests::raw_peer::RawPeer;

use crate::scene::Scene;

/// One request at a time, so that each answer belongs to what was written before it.
#[test]
fn every_acknowledgement_follows_a_sync() {
    let mut scene = Scene::new("syncs");
    scene.serve();
    let clients = Arc::clone(&scene.clients);
    scene.runtime.block_on(clients.fund());
    scene.shim.forget();
    let before = scene.campaign.tally.of("acknowledged");
    scene.runtime.block_on(async {
        let (payer, payee) = (&clients.peers[0], &clients.peers[1]);
        for round in 0..10 {
            clients.credit(payer.id(), 1, format!("deposit {round}")).await;
            let coin = clients.buy(payer, &payer.order(10, 1, Suite::Sha256)).await.expect("there is money").remove(0);
            let grant = payer.grant(&coin, (1, 6), payee.id());
            clients.redeem(1, payee.batch(vec![RawPeer::claim(&coin, &grant, 5)])).await;
            clients.pay_out(1, payee.withdrawal(1, "a bank")).await;
        }
    });
    let acknowledged = scene.campaign.tally.of("acknowledged") - before;
    let notes = scene.shim.notes();
    let (mut written, mut synced, mut answers) = (false, false, 0);
    for note in notes.lines() {
        match note.split_once(' ') {
            Some(("write", file)) if file.ends_with(".log") => (written, synced) = (true, false),
            Some(("sync", file)) if file.ends_with(".log") => synced = true,
            None if note == "answer" => {
                assert!(written && synced, "answer {answers} left before its record was safe: {notes}");
                (written, answers) = (false, answers + 1);
            }
            _ => {}
        }
    }
    assert_eq!((answers, acknowledged), (40, 40), "every answer was seen on its way");
    scene.stage.stop();
    scene.end(&["EcoinsIssued", "BatchRedeemed", "PayoutRequested", "FundsCredited"]);
}
