//! Enqueue: approved post → delivery, with its place in the queue.

use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::store::db::Result;
use crate::store::post;

/// Posts that get their deliveries in one transaction at most: few enough that no claim waits long for it.
const BATCH: i64 = 50;

/// Gives approved posts their deliveries.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let enqueued = post::enqueue(&context.db, &context.stamp("enqueue"), BATCH).await?;
    Ok(if enqueued.is_empty() { Step::Idle } else { Step::Worked })
}
