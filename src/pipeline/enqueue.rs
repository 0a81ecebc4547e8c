//! Enqueue: approved post → delivery, with its place in the queue.

use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::store::db::Result;
use crate::store::post;

/// Gives one approved post its delivery.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let enqueued = post::enqueue_next(&context.db, &context.stamp("enqueue")).await?;
    Ok(if enqueued.is_some() { Step::Worked } else { Step::Idle })
}
