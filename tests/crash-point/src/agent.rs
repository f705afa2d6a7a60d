//! The agent's points. `commit.*` are inside `Store::write`, so that every step that is kept has a crash on either side,
//! also one that nobody gave a name of its own.

crate::points! {
    CommitBegins = "commit.begins",
    CommitDone = "commit.done",

    HomeFilling = "home.filling",
    HomeMade = "home.made",
    HomeMoved = "home.moved",
    RegisterSending = "register.sending",
    RegisterAnswered = "register.answered",
    KeysAnswered = "keys.answered",
    RevokedAnswered = "revoked.answered",

    BuyKept = "buy.kept",
    BuyAnswered = "buy.answered",
    BuyDone = "buy.done",

    QuoteAsking = "quote.asking",
    QuoteAnswered = "quote.answered",
    OrderKept = "order.kept",
    GrantKept = "grant.kept",
    PaymentAnswered = "payment.answered",
    ChunkAsking = "chunk.asking",
    ChunkAnswered = "chunk.answered",
    ChunkWritten = "chunk.written",
    ChunkSealed = "chunk.sealed",
    FileSynced = "file.synced",
    FileNamed = "file.named",
    FileTidied = "file.tidied",
    OrderClosed = "order.closed",

    TillDeciding = "till.deciding",
    TillKept = "till.kept",
    TillAnswered = "till.answered",
    ChunkServing = "chunk.serving",
    AnswerSent = "answer.sent",

    BatchKept = "batch.kept",
    StatementAnswered = "statement.answered",
    BatchSettled = "batch.settled",
}
