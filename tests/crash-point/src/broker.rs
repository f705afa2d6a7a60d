//! The broker's points: what was checked, on either side of the journal's commit, and on either side of the answer.

crate::points! {
    BuyChecked = "buy.checked",
    RedeemChecked = "redeem.checked",
    PayoutChecked = "payout.checked",
    RotateChecked = "rotate.checked",
    AdminChecked = "admin.checked",
    JournalCommitting = "journal.committing",
    JournalCommitted = "journal.committed",
    BuyAnswering = "buy.answering",
    RedeemAnswering = "redeem.answering",
    PayoutAnswering = "payout.answering",
    RotateAnswering = "rotate.answering",
    QuestionAnswering = "question.answering",
    AdminAnswering = "admin.answering",
    AnswerSent = "answer.sent",
}
