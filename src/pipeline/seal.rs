//! Seal: audit entries → their places in the Merkle log, under a signed head.
//!
//! Outside every other transaction and one node at a time, so that it never slows a delivery.

use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::store::audit;
use crate::store::db::Result;

/// Seals what waits, up to a batch.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let sealed = audit::seal(&context.db, &context.signer, context.now()).await?;
    Ok(if sealed > 0 { Step::Worked } else { Step::Idle })
}
