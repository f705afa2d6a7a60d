//! What searchers find, and what they must not.

use netpay_protocol::limits::{MAX_LISTING_LIFE_MS, MAX_SEARCH_RESULTS};

use super::*;

#[test]
fn all_words_must_be_found_each_as_a_beginning_in_name_tags_or_media_type() {
    let mut film = listing(1, 9, "Große Oper.mp4");
    film.tags = "verdi milano".to_owned();
    let scene = Scene::given([(1, film)]);
    for text in [
        "oper",
        "OPER",
        "große",
        "op",
        "verdi",
        "mil oper",
        "oper vid",
        "video/mp4",
        "Oper.mp4",
        "oper.m",
        " oper \t verdi\n",
        "oper -",
        "oper & verdi",
        "verdi \"oper\"",
    ] {
        assert_eq!(scene.found(text).len(), 1, "{text:?}");
    }
    for text in ["per", "operas", "oper puccini", "verdi/oper", "mp4 wagner"] {
        assert_eq!(scene.found(text).len(), 0, "{text:?}");
    }
}

#[test]
fn what_a_user_types_is_never_a_query() {
    let scene = Scene::given([(1, listing(1, 9, "film near or not")), (2, listing(2, 8, "other"))]);
    for text in [
        "",
        " ",
        "\"",
        "\"\"",
        "*",
        "film*",
        "^film",
        "name:film",
        "{name}:film",
        "-film",
        "film NOT other",
        "film OR other",
        "NEAR(film other)",
        "film NEAR/2 not",
        "(film",
        "film)",
        "film AND",
        "AND",
        "film\0",
        "\0",
        "film\" OR \"other",
        "film\"OR\"other",
        "'; DROP TABLE listing; --",
        "+",
        "a+b",
        "?1",
        ":x",
        "\u{301}",
        "\u{93e}",
        "☃",
        "film ☃",
    ] {
        let hits = scene.0.search(text, 0, 10, NOW, &|_| false).expect(text);
        assert!(!contents(&hits.hits).contains(&8), "{text:?}");
    }
    assert_eq!(scene.found("film NOT").len(), 1, "NOT is a word");
    assert_eq!(scene.found("other NOT film").len(), 0, "NOT is a word");
    assert_eq!(scene.found("").len(), 0, "nothing finds nothing");
    let long = scene.0.search(&"x".repeat(MAX_SEARCH_BYTES + 1), 0, 1, NOW, &|_| false);
    assert!(matches!(long, Err(Error::Refused(Refused::TextTooLong))));
    let most = "x ".repeat(MAX_SEARCH_BYTES / 2);
    assert_eq!(scene.found(&most).len(), 0, "as many words as fit");
}

#[test]
fn a_content_id_finds_its_suppliers() {
    let dear = priced(7, listing(1, 9, "film"));
    let scene = Scene::given([(1, dear), (2, listing(2, 9, "movie")), (3, listing(3, 8, "film"))]);
    let id = ContentId([9; 32]).to_string();
    for text in [id.clone(), id.to_uppercase(), format!(" {id}\n")] {
        assert_eq!(scene.found(&text), ["movie", "film"]);
    }
    assert_eq!(scene.found(&id[1..]).len(), 0);
}

#[test]
fn the_best_match_comes_first_then_who_is_online_then_the_cheaper() {
    let named = |n, content, name, tags: &str, price| {
        let tags = tags.to_owned();
        (n, Listing { tags, price_units: Units(price), ..listing(n, content, name) })
    };
    let mut scene = Scene::given([
        named(1, 1, "aida", "", 9),
        named(2, 2, "aida", "", 8),
        named(3, 3, "aida", "", 1),
        named(3, 4, "other", "aida", 0),
    ]);
    let later = NOW + ONLINE_MS + 1;
    for n in [1, 2] {
        let renewed = issued(later, listing(n, 100, "rigoletto"));
        scene.announce(n, &renewed, later).expect("taken");
    }
    assert_eq!(contents(&scene.found_at("aida", NOW)), [3, 2, 1, 4], "all online");
    assert_eq!(contents(&scene.found_at("aida", later)), [2, 1, 3, 4], "3 gone");
}

#[test]
fn a_supplier_is_online_while_it_was_heard_within_three_heartbeats() {
    let film = listing(1, 9, "film");
    let mut scene = Scene::given([(1, film.clone())]);
    let online = |scene: &Scene, now| scene.found_at("film", now)[0].online;
    assert!(online(&scene, NOW + ONLINE_MS));
    assert!(!online(&scene, NOW + ONLINE_MS + 1));
    scene.announce(1, &film, NOW + ONLINE_MS).expect("the same again");
    assert!(online(&scene, NOW + ONLINE_MS + 1));
    scene.announce(1, &film, NOW).expect("the clock went back");
    assert!(online(&scene, NOW + 2 * ONLINE_MS));
    // A stale listing shows nothing of its supplier: anybody can replay it.
    let later = issued(NOW + 1, film.clone());
    scene.announce(1, &later, NOW + ONLINE_MS).expect("taken");
    assert!(scene.announce(1, &film, NOW + 3 * ONLINE_MS).is_err());
    assert!(!online(&scene, NOW + 3 * ONLINE_MS));
}

#[test]
fn lapsed_listings_are_left_out_before_and_after_the_sweep() {
    let mut scene = Scene::given([(1, listing(1, 9, "film"))]);
    let id = ContentId([9; 32]).to_string();
    let end = NOW + HOUR_MS;
    for text in ["film", &id] {
        assert_eq!(scene.found_at(text, end - 1).len(), 1);
        assert_eq!(scene.found_at(text, end).len(), 0);
    }
    assert_eq!(scene.0.sweep(end - 1).expect("swept"), 0);
    assert_eq!(scene.0.sweep(end).expect("swept"), 1);
    assert_eq!(scene.0.sweep(end).expect("swept"), 0);
    for text in ["film", &id] {
        assert_eq!(scene.found_at(text, NOW).len(), 0);
    }
    scene.0.sweep(NOW + MAX_LISTING_LIFE_MS).expect("swept");
    for table in ["listing", "words", "heard"] {
        assert_eq!(scene.rows(table), 0, "{table}");
    }
}

#[test]
fn pages_join_without_gap_and_suspended_suppliers_do_not_count() {
    let all = (1..=6).map(|n| (n, priced(n.into(), listing(n, n, "film"))));
    let scene = Scene::given(all);
    for (skip, limit, suspended, expected, more) in [
        (0, 6, &[][..], &[1, 2, 3, 4, 5, 6][..], false),
        (0, 5, &[], &[1, 2, 3, 4, 5], true),
        (5, 5, &[], &[6], false),
        (6, 5, &[], &[], false),
        (u32::MAX, 5, &[], &[], false),
        (0, 0, &[], &[], true),
        (0, 2, &[1, 3, 6], &[2, 4], true),
        (2, 2, &[1, 3, 6], &[5], false),
        (1, 2, &[1, 3, 6], &[4, 5], false),
        (0, 1, &[1, 2, 3, 4, 5], &[6], false),
        (0, 9, &[1, 2, 3, 4, 5, 6], &[], false),
    ] {
        let page = scene.page("film", skip, limit, suspended);
        assert_eq!((contents(&page.hits).as_slice(), page.more), (expected, more), "{skip} {limit}");
    }
}

#[test]
fn a_page_is_never_longer_than_the_limit_of_the_protocol() {
    let most = u8::try_from(MAX_SEARCH_RESULTS).expect("small");
    let scene = Scene::given((0..=most).map(|content| (1, listing(1, content, "film"))));
    let page = scene.page("film", 0, u32::MAX, &[]);
    assert_eq!((page.hits.len(), page.more), (usize::from(most), true));
}

#[test]
fn a_hit_is_what_the_supplier_signed() {
    let film = Listing { price_units: Units(u64::MAX), size_bytes: u64::MAX, ..listing(1, 9, "film") };
    let scene = Scene::given([(1, film.clone())]);
    let hit = &scene.found_at("film", NOW)[0];
    assert_eq!(hit.key, key(1).public());
    assert_eq!(hit.listing.verify(&hit.key), Ok(&film));
}

#[test]
fn an_index_is_there_after_closing_and_one_of_another_version_is_emptied() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let store = IndexStore::open(&folder.path().join("index"), BROKER, Limits::default());
        Scene(store.expect("opened"))
    };
    open().announce(1, &listing(1, 9, "film"), NOW).expect("taken");
    let scene = open();
    assert_eq!(scene.found("film"), ["film"]);
    assert_eq!(scene.0.rows, 1);
    scene.0.db.pragma_update(None, "user_version", VERSION + 1).expect("set");
    drop(scene);
    assert_eq!(open().found("film"), [""; 0]);
}
