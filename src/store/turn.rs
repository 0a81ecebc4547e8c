//! Turn: records what came of sends and claims the next ones, in one commit.
//!
//! An account with a queue needs one durable commit a post this way, not two; accounts whose sends end together
//! share it.

use crate::model::transition::Transition;
use crate::store::audit::Stamp;
use crate::store::claim;
use crate::store::claim::Claim;
use crate::store::claim::Wish;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::finish;
use crate::store::finish::Outcome;

/// What a turn came to.
#[derive(Debug)]
pub struct Turn {
    /// What became of each delivery that was sent, in the order of the outcomes; `None` where its lease was lost.
    pub finished: Vec<Option<Transition>>,
    /// What each wish came to, in their order.
    pub claims: Vec<Claim>,
}

/// Records `outcomes` and claims for `wishes`, all or nothing; either may be empty. A delivery, and an account, stands
/// in its list at most once. Only after this returned may a byte of what it claimed be sent.
///
/// # Errors
/// What the engine says. Nothing may be sent then, and the outcomes are still to be recorded.
pub async fn turn(db: &Db, stamp: &Stamp, outcomes: &[Outcome], wishes: &[Wish]) -> Result<Turn> {
    let mut tx = db.begin().await?;
    let finished = finish::finish(&mut tx, stamp, outcomes).await?;
    let claims = if wishes.is_empty() { Vec::new() } else { claim::claim(&mut tx, stamp, wishes).await? };
    let changed =
        claims.iter().any(|claim| matches!(claim, Claim::Moved(_) | Claim::Sending(_) | Claim::Forgot(_)));
    if changed || !outcomes.is_empty() {
        tx.commit().await?;
    } else {
        // Not by dropping it: until the pool came to roll it back, other claims would find the accounts locked.
        tx.roll_back().await?;
    }
    Ok(Turn { finished, claims })
}
