//! The points of the inbox and the event feed, on either side of what JetStream keeps: the agent's after its batch is stored
//! there, the broker's before it acknowledges one that is settled or was set aside, and after it published events.

crate::points! {
    Published = "inbox.published",
    Settled = "inbox.settled",
    SetAside = "inbox.set-aside",
    EventsPublished = "events.published",
}
