//! Tests of [`super`]: what a crash leaves, and what stands in the way at the end.

use std::fs;

use super::*;

const CHUNK: usize = 131_072;

struct Scene {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Scene {
    fn new(size: usize) -> Self {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, bytes }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn content(&self) -> ContentId {
        ContentId(blake3::hash(&self.bytes).into())
    }

    fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).expect("small")
    }

    fn open(&self) -> Partial {
        Partial::open(&self.path("film"), self.content(), self.size()).expect("opened")
    }

    fn write(&self, partial: &mut Partial, indexes: impl IntoIterator<Item = u64>) {
        for i in indexes {
            let chunk = self.bytes.chunks(CHUNK).nth(usize::try_from(i).expect("small"));
            partial.write(i, chunk.expect("a chunk")).expect("written");
        }
    }

    fn whole(&self) -> Partial {
        let mut partial = self.open();
        let missing: Vec<_> = partial.missing(0).collect();
        self.write(&mut partial, missing);
        partial
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .expect("a folder")
            .map(|entry| {
                let name = entry.expect("an entry").file_name();
                name.into_string().expect("a plain name")
            })
            .collect();
        names.sort();
        names
    }

    fn damage(&self, name: &str, at: usize) {
        let mut bytes = fs::read(self.path(name)).expect("read");
        bytes[at] ^= 1;
        fs::write(self.path(name), bytes).expect("written");
    }
}

fn missing(partial: &Partial) -> Vec<u64> {
    assert!(partial.missing(0).skip(1).eq(partial.missing(partial.missing(0).next().map_or(0, |first| first + 1))));
    partial.missing(0).collect()
}

#[test]
fn a_download_in_any_order_becomes_the_file_and_leaves_nothing_beside_it() {
    for size in [0, 1, CHUNK, 3 * CHUNK + 5] {
        let scene = Scene::new(size);
        let mut partial = scene.open();
        let mut order = missing(&partial);
        order.reverse();
        scene.write(&mut partial, order);
        partial.finish(Existing::Keep).expect("finished");
        assert_eq!(scene.names(), ["film"]);
        assert_eq!(fs::read(scene.path("film")).expect("read"), scene.bytes);
    }
}

#[test]
fn a_resumed_download_has_what_was_written_and_not_more() {
    let scene = Scene::new(3 * CHUNK + 5);
    let mut partial = scene.open();
    scene.write(&mut partial, [3, 1]);
    drop(partial);
    let mut partial = scene.open();
    assert_eq!(missing(&partial), [0, 2]);
    assert_eq!([0, 1, 2, 3, 4].map(|i| partial.has(i)), [false, true, false, true, false]);
    assert_eq!(partial.held(), 2);
    scene.write(&mut partial, [0, 1, 2, 3]);
    partial.finish(Existing::Keep).expect("finished");
}

#[test]
fn a_chunk_that_the_state_claims_and_the_disk_has_otherwise_is_not_claimed() {
    let scene = Scene::new(3 * CHUNK);
    drop(scene.whole());
    scene.damage("film.part", CHUNK + 9);
    scene.damage("film.part.state", 2 * 32);
    assert_eq!(missing(&scene.open()), [1, 2]);
}

#[test]
fn a_chunk_at_another_place_is_not_claimed_even_if_its_seal_moved_along() {
    let scene = Scene::new(2 * CHUNK);
    drop(scene.whole());
    for (name, half) in [("film.part", CHUNK), ("film.part.state", 32)] {
        let mut bytes = fs::read(scene.path(name)).expect("read");
        bytes.rotate_left(half);
        fs::write(scene.path(name), bytes).expect("written");
    }
    assert_eq!(missing(&scene.open()), [0, 1]);
}

#[test]
fn data_cut_off_by_a_crash_is_not_claimed() {
    let scene = Scene::new(3 * CHUNK);
    drop(scene.whole());
    let part = open_file(&scene.path("film.part")).expect("opened");
    part.set_len(scene.size() - 1).expect("cut");
    assert_eq!(missing(&scene.open()), [2]);
    part.set_len(0).expect("cut");
    assert_eq!(missing(&scene.open()), [0, 1, 2]);
}

#[test]
fn a_state_cut_off_or_lost_by_a_crash_loses_knowledge_only() {
    let scene = Scene::new(3 * CHUNK);
    drop(scene.whole());
    let state = open_file(&scene.path("film.part.state")).expect("opened");
    state.set_len(2 * 32 + 31).expect("cut");
    assert_eq!(missing(&scene.open()), [2]);
    state.set_len(0).expect("cut");
    assert_eq!(missing(&scene.open()), [0, 1, 2]);
}

#[test]
fn leftovers_of_other_content_or_of_another_size_count_as_nothing() {
    let scene = Scene::new(2 * CHUNK);
    drop(scene.whole());
    let target = scene.path("film");
    let other = Partial::open(&target, ContentId([7; 32]), scene.size()).expect("opened");
    assert_eq!(missing(&other), [0, 1]);
    drop(other);
    let longer = Partial::open(&target, scene.content(), scene.size() + 1).expect("opened");
    assert_eq!(missing(&longer), [0, 1, 2]);
}

#[test]
fn leftovers_of_a_longer_file_do_not_become_part_of_this_one() {
    let scene = Scene::new(CHUNK + 5);
    fs::write(scene.path("film.part"), vec![1; 3 * CHUNK]).expect("written");
    fs::write(scene.path("film.part.state"), "").expect("written");
    scene.whole().finish(Existing::Keep).expect("finished");
    assert_eq!(fs::read(scene.path("film")).expect("read"), scene.bytes);
}

#[test]
fn a_chunk_of_the_wrong_length_or_past_the_end_is_refused() {
    let scene = Scene::new(CHUNK + 5);
    let mut partial = scene.open();
    for (index, length) in [(0, CHUNK - 1), (0, CHUNK + 1), (0, 0), (1, 4), (1, CHUNK), (2, 5), (u64::MAX, 5)] {
        let refused = partial.write(index, &vec![0; length]);
        assert!(matches!(refused, Err(Error::NotAChunk { .. })), "{index} {length}");
    }
    assert_eq!(missing(&partial), [0, 1]);
}

#[test]
fn a_chunk_written_twice_keeps_its_first_bytes() {
    let scene = Scene::new(CHUNK);
    let mut partial = scene.whole();
    partial.write(0, &vec![0; CHUNK]).expect("left alone");
    partial.finish(Existing::Keep).expect("finished");
}

#[test]
fn an_incomplete_download_cannot_be_finished() {
    let scene = Scene::new(3 * CHUNK);
    let mut partial = scene.open();
    scene.write(&mut partial, [0, 2]);
    let refused = partial.finish(Existing::Keep);
    assert!(matches!(refused, Err(Error::Incomplete(1))), "{refused:?}");
    assert_eq!(missing(&scene.open()), [1]);
}

#[test]
fn bytes_that_nobody_verified_are_found_at_the_end_and_then_nothing_is_trusted() {
    let scene = Scene::new(2 * CHUNK);
    let mut partial = scene.open();
    scene.write(&mut partial, [0]);
    partial.write(1, &vec![9; CHUNK]).expect("written");
    let refused = partial.finish(Existing::Replace);
    assert!(matches!(refused, Err(Error::NotTheContent)), "{refused:?}");
    assert!(!scene.path("film").exists());
    assert_eq!(missing(&scene.open()), [0, 1]);
}

#[test]
fn a_chunk_damaged_on_disk_is_found_at_the_end_and_only_it_is_fetched_again() {
    let scene = Scene::new(2 * CHUNK);
    let partial = scene.whole();
    scene.damage("film.part", 0);
    let refused = partial.finish(Existing::Keep);
    assert!(matches!(refused, Err(Error::NotTheContent)), "{refused:?}");
    assert_eq!(missing(&scene.open()), [0]);
}

#[test]
fn an_existing_file_is_replaced_only_when_told() {
    let scene = Scene::new(CHUNK);
    fs::write(scene.path("film"), "another").expect("written");
    let refused = scene.whole().finish(Existing::Keep);
    assert!(matches!(refused, Err(Error::TargetExists(_))), "{refused:?}");
    assert_eq!(fs::read(scene.path("film")).expect("read"), b"another");
    assert_eq!(missing(&scene.open()), [0; 0]);
    scene.open().finish(Existing::Replace).expect("finished");
    assert_eq!(fs::read(scene.path("film")).expect("read"), scene.bytes);
    assert_eq!(scene.names(), ["film"]);
}

#[test]
fn an_existing_file_of_the_same_size_and_other_bytes_is_another_file() {
    let scene = Scene::new(CHUNK);
    fs::write(scene.path("film"), vec![0; CHUNK]).expect("written");
    let refused = scene.whole().finish(Existing::Keep);
    assert!(matches!(refused, Err(Error::TargetExists(_))), "{refused:?}");
}

#[test]
fn a_crash_between_name_and_tidying_up_is_finished_by_the_next_run() {
    let scene = Scene::new(CHUNK);
    drop(scene.whole());
    fs::hard_link(scene.path("film.part"), scene.path("film")).expect("linked");
    scene.open().finish(Existing::Keep).expect("finished");
    assert_eq!(scene.names(), ["film"]);
}

#[test]
fn two_downloads_to_one_target_do_not_mix() {
    let scene = Scene::new(CHUNK);
    let first = scene.open();
    let second = Partial::open(&scene.path("film"), scene.content(), scene.size());
    assert!(matches!(second, Err(Error::Busy(_))), "{second:?}");
    drop(first);
    scene.open();
}

#[test]
fn a_lying_size_takes_no_memory_and_no_disk() {
    let scene = Scene::new(CHUNK);
    let target = scene.path("film");
    let refused = Partial::open(&target, scene.content(), u64::MAX);
    assert!(matches!(refused, Err(Error::TooLarge(_))), "{refused:?}");
    let partial = Partial::open(&target, scene.content(), MAX_CONTENT_BYTES).expect("opened");
    assert_eq!(partial.missing(0).next(), Some(0));
    let refused = partial.finish(Existing::Keep);
    assert!(matches!(refused, Err(Error::Incomplete(_))), "{refused:?}");
    assert_eq!(fs::metadata(scene.path("film.part")).expect("there").len(), 0);
}

#[test]
fn a_file_or_link_that_has_the_name_of_the_unfinished_download_is_left_alone() {
    let scene = Scene::new(CHUNK);
    let refused = || matches!(Partial::open(&scene.path("film"), scene.content(), 9), Err(Error::NotOurs(_)));
    fs::write(scene.path("film.part"), "a person's").expect("written");
    assert!(refused());
    assert_eq!(fs::read(scene.path("film.part")).expect("read"), b"a person's");
    fs::remove_file(scene.path("film.part")).expect("ours");
    for name in ["film.part", "film.part.state"] {
        std::os::unix::fs::symlink(scene.path("elsewhere"), scene.path(name)).expect("linked");
        assert!(refused(), "{name}");
        fs::remove_file(scene.path(name)).expect("ours");
    }
    assert!(!scene.path("elsewhere").exists());
}

#[test]
fn the_first_gap_ends_where_a_chunk_is_held_or_the_content_ends() {
    let scene = Scene::new(6 * CHUNK);
    let mut partial = scene.open();
    assert_eq!(partial.first_gap(), Some((0, 6)));
    scene.write(&mut partial, [0, 3]);
    assert_eq!(partial.first_gap(), Some((1, 2)));
    scene.write(&mut partial, [1, 2]);
    assert_eq!(partial.first_gap(), Some((4, 2)));
    scene.write(&mut partial, [4, 5]);
    assert_eq!(partial.first_gap(), None);
}

#[test]
fn another_size_keeps_what_was_verified_and_is_refused_when_a_verified_chunk_contradicts_it() {
    let scene = Scene::new(3 * CHUNK + 5);
    let mut partial = Partial::open(&scene.path("film"), scene.content(), scene.size() + 1).expect("opened");
    scene.write(&mut partial, [0, 2]);
    // The last chunk under a size is whole in a larger content.
    for contradicted in [393_215, 262_144, 0, MAX_CONTENT_BYTES + 1] {
        let refused = partial.resize(contradicted);
        assert!(matches!(refused, Err(Error::NotTheSize(_))), "{contradicted}");
    }
    partial.resize(scene.size()).expect("nothing contradicts it");
    drop(partial);
    let mut partial = scene.open();
    assert_eq!(missing(&partial), [1, 3]);
    scene.write(&mut partial, [1, 3]);
    let refused = partial.resize(scene.size() + 1);
    assert!(matches!(refused, Err(Error::NotTheSize(_))), "the last chunk proves the size: {refused:?}");
    partial.finish(Existing::Keep).expect("finished");
}
