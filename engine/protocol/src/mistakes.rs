//! Mistakes that can be made on purpose, to show that the model's checks find them.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The lease is counted from when the answer came, not from before the beat was sent.
    CountsTheLeaseFromTheReply,
    /// A lease that another has seen ended is renewed all the same.
    RenewsALeaseThatWasSeenEnded,
    /// A flight is taken over though its owner's lease has not ended.
    TakesOverOnASuspicion,
    /// The fence does not ask whose the flight is by now.
    FencesWhoeverOwnsIt,
    /// The store's claim is taken for ownership; nothing is fenced.
    SkipsTheFence,
    /// The customer is answered as soon as the grab is decided.
    AnswersBeforeItIsDurable,
    /// A server answers for its flights whether it has a lease or not.
    AnswersWithoutALease,
    /// The events are read before the fence is written.
    ReadsBeforeTheFence,
    /// A warm copy is served without what came last.
    ServesAWarmCopyWithoutTheTail,
    /// What was sent and not answered is decided anew.
    DecidesAgainAfterACut,
    /// A flight is given away while its newest events are on their way.
    GivesAwayWhatIsNotDurable,
    /// A flight is still sold after it was given away.
    SellsWhatWasGivenAway,
    /// A flight that was given away and not fetched is served again as if nothing had been said.
    TakesBackWithoutAClaim,
    /// What a new primary says of leases is believed at once.
    TrustsANewPrimarysLeases,
    /// Events that a new primary lacks are not written again.
    DoesNotHeal,
    /// A server whose lease had ended goes on where it was, on a new primary.
    KeepsItsLifeOnANewPrimary,
    /// A repeat is not known by its key.
    ForgetsKeys,
    /// A claim that was never followed by a fence keeps all others away.
    WaitsForDeadClaimants,
    /// A server whose lease was seen ended never joins again.
    NeverJoinsAgain,
    /// A server that has flights of an earlier life does not claim them anew.
    LeavesItsOwnFlightsAlone,
}

/// All of them.
pub const ALL: [Mistake; 20] = [
    Mistake::CountsTheLeaseFromTheReply,
    Mistake::RenewsALeaseThatWasSeenEnded,
    Mistake::TakesOverOnASuspicion,
    Mistake::FencesWhoeverOwnsIt,
    Mistake::SkipsTheFence,
    Mistake::AnswersBeforeItIsDurable,
    Mistake::AnswersWithoutALease,
    Mistake::ReadsBeforeTheFence,
    Mistake::ServesAWarmCopyWithoutTheTail,
    Mistake::DecidesAgainAfterACut,
    Mistake::GivesAwayWhatIsNotDurable,
    Mistake::SellsWhatWasGivenAway,
    Mistake::TakesBackWithoutAClaim,
    Mistake::TrustsANewPrimarysLeases,
    Mistake::DoesNotHeal,
    Mistake::KeepsItsLifeOnANewPrimary,
    Mistake::ForgetsKeys,
    Mistake::WaitsForDeadClaimants,
    Mistake::NeverJoinsAgain,
    Mistake::LeavesItsOwnFlightsAlone,
];
