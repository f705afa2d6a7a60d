//! What suppliers send, honest or not.

use netpay_protocol::keys::Signature;
use netpay_protocol::limits::MAX_LISTING_LIFE_MS;

use super::*;

#[test]
fn a_listing_that_its_supplier_did_not_sign_is_refused() {
    let mut scene = Scene::new();
    let mut signed = Signed::new(listing(1, 9, "film"), &key(1));
    signed.content.price_units = Units(1);
    let refused = scene.0.announce(&signed, &key(1).public(), NOW);
    assert_eq!(reason(refused), Err(Refused::BadSignature));
    signed.signature = Signature([0; 64]);
    let refused = scene.0.announce(&signed, &key(1).public(), NOW);
    assert_eq!(reason(refused), Err(Refused::BadSignature));
    assert_eq!(scene.found("film"), [""; 0]);
}

#[test]
fn nobody_lists_or_withdraws_in_the_name_of_another() {
    let mut scene = Scene::given([(1, listing(1, 9, "film"))]);
    // Mallory signs well, with her own key, for somebody else.
    let later = issued(NOW + 1, listing(1, 9, "worse"));
    assert_eq!(scene.announce(2, &later, NOW), Err(Refused::NotTheSupplier));
    let withdraw = withdrawal(1, 9, NOW + 1);
    let signed = Signed::new(withdraw, &key(2));
    for (key, expected) in [(2, Refused::NotTheSupplier), (1, Refused::BadSignature)] {
        let key = SigningKey::from_seed(&[key; 32]).public();
        let refused = scene.0.withdraw(&signed, &key, NOW);
        assert_eq!(reason(refused), Err(expected));
    }
    assert_eq!(scene.found("film"), ["film"]);
}

#[test]
fn a_supplier_with_another_key_lists_by_the_brokers_word_and_its_old_key_lists_nothing_any_more() {
    let mut scene = Scene::given([(1, listing(1, 9, "film"))]);
    let announce = |scene: &mut Scene, n: u8, at_ms: u64| {
        let signed = Signed::new(issued(at_ms, listing(1, 9, "film")), &key(n));
        reason(scene.0.announce(&signed, &key(n).public(), NOW))
    };
    assert_eq!(announce(&mut scene, 2, NOW + 1), Err(Refused::NotTheSupplier), "not certified yet");
    for (n, given_up, speaks) in [(2, 1, 2), (3, 2, 3), (2, 1, 3), (1, 0, 3)] {
        reason(scene.0.certify(peer(1), &key(n).public(), given_up)).expect("taken, or older");
        for known in [1, 2, 3] {
            let at_ms = NOW + 10 * u64::from(given_up) + u64::from(known);
            let taken = announce(&mut scene, known, at_ms);
            assert_eq!(taken == Err(Refused::NotTheSupplier), known != speaks, "{known} after {given_up}: {taken:?}");
        }
    }
    assert_eq!(scene.found_at("film", NOW)[0].key, key(3).public());
    assert_eq!(scene.withdraw(1, 9, NOW + 100, NOW), Err(Refused::NotTheSupplier));
    scene.0.sweep(NOW + 10 * HOUR_MS * 24).expect("swept");
    assert_eq!(scene.rows("certified"), 0, "forgotten with the listings");
}

#[test]
fn keys_of_as_many_suppliers_are_kept_as_there_may_be_listings() {
    let mut scene = Scene::with(Limits { listings_in_all: 2, ..Limits::default() });
    for n in [1, 2, 1] {
        assert_eq!(reason(scene.0.certify(peer(n), &key(9).public(), 1)), Ok(()));
    }
    assert_eq!(reason(scene.0.certify(peer(3), &key(9).public(), 1)), Err(Refused::Full));
}

#[test]
fn what_names_another_broker_is_refused() {
    let mut scene = Scene::given([(1, listing(1, 9, "film"))]);
    let broker = BrokerId([2; 16]);
    let other = Listing { broker, ..listing(1, 8, "other") };
    assert_eq!(scene.announce(1, &other, NOW), Err(Refused::OtherBroker));
    let withdraw = Withdraw { broker, supplier: peer(1), content: ContentId([9; 32]), issued_at_ms: NOW };
    let refused = scene.0.withdraw(&Signed::new(withdraw, &key(1)), &key(1).public(), NOW);
    assert_eq!(reason(refused), Err(Refused::OtherBroker));
    assert_eq!(scene.found("film other"), [""; 0]);
    assert_eq!(scene.found("film"), ["film"]);
}

#[test]
fn a_listing_must_be_alive_not_from_the_future_and_live_at_most_a_day() {
    let ahead = MAX_CLOCK_AHEAD_MS;
    let life = MAX_LISTING_LIFE_MS;
    let too_long = Refused::Malformed(Malformed::Value("time to live"));
    for (issued_at_ms, expires_ms, expected) in [
        (NOW - 1, NOW + 1, Ok(())),
        (NOW - 1, NOW, Err(Refused::Expired)),
        (NOW, 0, Err(Refused::Expired)),
        (NOW + ahead, NOW + ahead + 1, Ok(())),
        (NOW + ahead + 1, NOW + ahead + 2, Err(Refused::FromTheFuture)),
        (u64::MAX, u64::MAX, Err(Refused::FromTheFuture)),
        (NOW, NOW + life, Ok(())),
        (NOW, NOW + life + 1, Err(too_long)),
        (0, u64::MAX, Err(too_long)),
    ] {
        let timed = issued(issued_at_ms, until(expires_ms, listing(1, 9, "film")));
        assert_eq!(Scene::new().announce(1, &timed, NOW), expected, "{issued_at_ms}");
    }
}

#[test]
fn a_name_with_a_path_is_refused_also_when_it_was_never_on_a_wire() {
    let path = listing(1, 9, "../film");
    let refused = Scene::new().announce(1, &path, NOW);
    assert!(matches!(refused, Err(Refused::Malformed(_))), "{refused:?}");
}

#[test]
fn of_two_listings_the_later_counts_and_the_earlier_is_stale() {
    let first = listing(1, 9, "first");
    let second = issued(NOW + 1, listing(1, 9, "second"));
    let mut scene = Scene::given([(1, first.clone()), (1, second.clone())]);
    assert_eq!(scene.announce(1, &first, NOW), Err(Refused::Stale));
    let same_time = priced(1, second.clone());
    assert_eq!(scene.announce(1, &same_time, NOW), Err(Refused::Stale));
    assert_eq!(scene.announce(1, &second, NOW), Ok(()));
    assert_eq!(scene.found("second"), ["second"]);
    assert_eq!(scene.found("first"), [""; 0]);
}

#[test]
fn a_withdrawn_listing_cannot_be_replayed_for_as_long_as_it_lives() {
    let old = until(NOW + MAX_LISTING_LIFE_MS, listing(1, 9, "film"));
    let mut scene = Scene::given([(1, old.clone())]);
    assert_eq!(scene.withdraw(1, 9, NOW + 10, NOW + 10), Ok(()));
    assert_eq!(scene.found("film"), [""; 0]);
    assert_eq!(scene.rows("words"), 0, "a word left behind could find another listing");
    let last_moment = NOW + MAX_LISTING_LIFE_MS - 1;
    for now in [NOW + 10, NOW + HOUR_MS, last_moment] {
        scene.0.sweep(now).expect("swept");
        assert_eq!(scene.announce(1, &old, now), Err(Refused::Stale), "{now}");
    }
    assert_eq!(scene.announce(1, &old, last_moment + 1), Err(Refused::Expired));
    // Its supplier may offer it again, with a later time.
    let again = issued(NOW + 11, listing(1, 9, "film"));
    assert_eq!(scene.announce(1, &again, NOW + 11), Ok(()));
    assert_eq!(scene.found("film"), ["film"]);
}

#[test]
fn an_older_listing_cannot_be_replayed_after_its_successor_has_lapsed() {
    let cheap = until(NOW + MAX_LISTING_LIFE_MS, listing(1, 9, "film"));
    let dear = issued(NOW + 1, until(NOW + 2, priced(100, cheap.clone())));
    let mut scene = Scene::given([(1, cheap.clone()), (1, dear)]);
    assert_eq!(scene.0.sweep(NOW + 2).expect("swept"), 1);
    assert_eq!(scene.announce(1, &cheap, NOW + 2), Err(Refused::Stale));
}

#[test]
fn an_old_withdrawal_cannot_be_replayed_against_a_later_listing() {
    let mut scene = Scene::given([(1, listing(1, 9, "film"))]);
    assert_eq!(scene.withdraw(1, 9, NOW - 1, NOW), Err(Refused::Stale));
    assert_eq!(scene.found("film"), ["film"]);
    assert_eq!(scene.withdraw(1, 9, NOW, NOW), Ok(()));
    assert_eq!(scene.withdraw(1, 9, NOW, NOW), Ok(()), "the same again");
    let future = NOW + MAX_CLOCK_AHEAD_MS + 1;
    assert_eq!(scene.withdraw(1, 9, future, NOW), Err(Refused::FromTheFuture));
    let over = NOW - MAX_LISTING_LIFE_MS;
    assert_eq!(scene.withdraw(1, 9, over, NOW), Err(Refused::Expired));
}

#[test]
fn a_supplier_has_at_most_its_share_of_listings_and_of_memory() {
    let mut scene = Scene::with(Limits { listings_per_supplier: 2, listings_in_all: 100 });
    for content in [1, 2] {
        assert_eq!(scene.announce(1, &listing(1, content, "film"), NOW), Ok(()));
    }
    let third = listing(1, 3, "film");
    assert_eq!(scene.announce(1, &third, NOW), Err(Refused::TooManyListings));
    assert_eq!(scene.announce(2, &listing(2, 3, "film"), NOW), Ok(()), "another");
    let renewed = issued(NOW + 1, listing(1, 1, "film"));
    assert_eq!(scene.announce(1, &renewed, NOW), Ok(()), "a renewal");
    // Room for another listing comes from withdrawing one, but not without end.
    assert_eq!(scene.withdraw(1, 2, NOW + 1, NOW), Ok(()));
    assert_eq!(scene.announce(1, &third, NOW), Ok(()));
    assert_eq!(scene.withdraw(1, 3, NOW + 1, NOW), Ok(()));
    assert_eq!(scene.announce(1, &listing(1, 4, "film"), NOW), Ok(()));
    assert_eq!(scene.withdraw(1, 4, NOW + 1, NOW), Ok(()));
    for refused in [scene.announce(1, &listing(1, 5, "film"), NOW), scene.withdraw(1, 5, NOW, NOW)] {
        assert_eq!(refused, Err(Refused::TooManyListings));
    }
    // What is known can always be withdrawn, and what is forgotten makes room.
    assert_eq!(scene.withdraw(1, 1, NOW + 2, NOW), Ok(()));
    let later = NOW + MAX_LISTING_LIFE_MS + 2;
    scene.0.sweep(later).expect("swept");
    let fresh = issued(later, until(later + 1, listing(1, 5, "film")));
    assert_eq!(scene.announce(1, &fresh, later), Ok(()));
}

#[test]
fn a_full_index_takes_renewals_and_withdrawals_of_what_it_has() {
    let mut scene = Scene::with(Limits { listings_per_supplier: 10, listings_in_all: 2 });
    for n in [1, 2] {
        assert_eq!(scene.announce(n, &listing(n, 9, "film"), NOW), Ok(()));
    }
    assert_eq!(scene.announce(3, &listing(3, 9, "film"), NOW), Err(Refused::Full));
    assert_eq!(scene.withdraw(3, 9, NOW, NOW), Err(Refused::Full));
    let renewed = issued(NOW + 1, listing(1, 9, "film"));
    assert_eq!(scene.announce(1, &renewed, NOW), Ok(()));
    assert_eq!(scene.withdraw(1, 9, NOW + 2, NOW), Ok(()));
    scene.0.sweep(NOW + MAX_LISTING_LIFE_MS).expect("swept");
    let later = NOW + MAX_LISTING_LIFE_MS;
    let fresh = issued(later, until(later + 1, listing(3, 9, "film")));
    assert_eq!(scene.announce(3, &fresh, later), Ok(()));
}

#[test]
fn withdrawals_of_what_was_never_listed_fill_the_index_too() {
    let mut scene = Scene::with(Limits { listings_per_supplier: 10, listings_in_all: 2 });
    assert_eq!(scene.withdraw(1, 1, NOW, NOW), Ok(()));
    assert_eq!(scene.withdraw(1, 2, NOW, NOW), Ok(()));
    assert_eq!(scene.withdraw(1, 2, NOW + 1, NOW), Ok(()), "known");
    assert_eq!(scene.withdraw(1, 3, NOW, NOW), Err(Refused::Full));
}
