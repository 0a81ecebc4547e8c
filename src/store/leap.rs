//! Leap: sets right what was written while the clock was ahead.
//!
//! When a wall clock is put back, every wait that was counted on it grows by as much: an hour without polls, sends
//! and looks. Such rows give themselves away, because they were written in the future. What a person or a schedule
//! set to a time of day stays; only what the machine put off by itself is counted anew.

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::args;

/// Clocks of several nodes may lie so far apart without any of them having leapt.
const TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// Counts waits from now that were counted from a moment still to come. Returns how many there were.
///
/// Called when the clock was seen to be put back, and at the start, which may follow such a moment.
///
/// # Errors
/// What the engine says.
pub async fn recover(db: &Db, now: DateTime<Utc>) -> Result<u64> {
    let future = now + TOLERANCE;
    let mut tx = db.begin().await?;
    let mut changed = 0;
    // What the spacing keeps its distance from happened, by the true clock, before now.
    changed += tx
        .execute(
            "UPDATE account SET next_send_at = $1 WHERE next_send_at > $1
                AND EXISTS (SELECT 1 FROM delivery d WHERE d.account = account.name AND d.changed_at > $2)",
            args![now, future],
        )
        .await?;
    // A first try that was due at once stays so; one that was set to a time of day is no wait of ours.
    changed += tx
        .execute(
            "UPDATE delivery SET changed_at = $1, lease_until = CASE WHEN state = 'unconfirmed' THEN 0 ELSE lease_until END,
                    due_at = CASE WHEN due_at > changed_at THEN $1 + (due_at - changed_at) ELSE $1 END
              WHERE state IN ('scheduled', 'unconfirmed') AND changed_at > $2 AND (attempts > 0 OR due_at <= changed_at)",
            args![now, future],
        )
        .await?;
    changed += tx
        .execute(
            "UPDATE account SET paused_at = $1, pause_until = $1 + (pause_until - paused_at)
              WHERE pause IS NOT NULL AND paused_at > $2",
            args![now, future],
        )
        .await?;
    changed += tx
        .execute(
            "UPDATE token SET changed_at = $1, expires_at = $1 + (expires_at - changed_at),
                    refresh_at = $1 + (refresh_at - changed_at),
                    try_at = CASE WHEN try_at > $1 THEN $1 ELSE try_at END WHERE changed_at > $2",
            args![now, future],
        )
        .await?;
    changed += tx
        .execute(
            "UPDATE source SET next_poll_at = $1, lease_until = 0 WHERE polled_at > $2 AND next_poll_at > $1",
            args![now, future],
        )
        .await?;
    changed += tx
        .execute(
            "UPDATE article SET page_try_at = $1,
                    settle_at = CASE WHEN settle_at > changed_at THEN $1 + (settle_at - changed_at) ELSE $1 END
              WHERE state = 'settling' AND changed_at > $2 AND (settle_at > $1 OR page_try_at > $1)",
            args![now, future],
        )
        .await?;
    // A moment that fired by the leaping clock has its row, so it doesn't fire again by the true one.
    changed += tx
        .execute("UPDATE promotion_firing SET counted_at = $1 WHERE counted_at > $2", args![now, future])
        .await?;
    changed += tx
        .execute(
            "UPDATE promotion SET passed_at = $1, next_at = CASE WHEN stopped_at IS NULL THEN $1 END WHERE passed_at > $2",
            args![now, future],
        )
        .await?;
    match changed {
        0 => Ok(0),
        _ => tx.commit().await.map(|()| changed),
    }
}
