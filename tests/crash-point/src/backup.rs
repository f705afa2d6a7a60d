//! The points of restoring a backup: the copy, the record that begins another life in it, and its way into place.

crate::points! {
    Copied = "backup.copied",
    LifeBegun = "backup.life-begun",
    InPlace = "backup.in-place",
}
