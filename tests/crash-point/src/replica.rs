//! The points of a cluster node's ledger: a single node's directory that becomes a generation, and a ledger that is
//! received and put in the present one's place.

crate::points! {
    Joined = "replica.joined",
    AdoptLinked = "replica.adopt-linked",
    AdoptMoved = "replica.adopt-moved",
    ReceiveBegun = "replica.receive-begun",
    FileBegun = "replica.file-begun",
    FileDone = "replica.file-done",
    Checked = "replica.checked",
    OldMarked = "replica.old-marked",
    SwitchLinked = "replica.switch-linked",
    Switched = "replica.switched",
    OldRemoving = "replica.old-removing",
}
