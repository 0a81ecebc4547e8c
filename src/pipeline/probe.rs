//! Probe: asks paused accounts whether they may send again.
//!
//! Only a clear refusal keeps an account paused: an answer that does not speak of the credential or the
//! budget (a 404, a 5xx) lets one post find out.

use tracing::info;
use tracing::warn;

use crate::model::attempt::SendError;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::refresh;
use crate::pipeline::refresh::Credential;
use crate::pipeline::refresh::Ready;
use crate::store::account;
use crate::store::db::Result;

/// Probes the accounts whose turn it is.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let due = account::list_due_probe(&context.db, context.now()).await?;
    for name in &due {
        probe(context, name).await?;
    }
    Ok(if due.is_empty() { Step::Idle } else { Step::Worked })
}

async fn probe(context: &Context, name: &str) -> Result<()> {
    let refused = match refresh::latest(context, name).await? {
        Ready::NotYet(reason) => Some(SendError::Unauthorized { reason }),
        Ready::Yes(credential) => ask(context, name, credential).await,
    };
    match refused {
        None => {
            info!(account.name = name, "Account {name} may send again");
            account::resume(&context.db, &context.stamp("probe"), name, "a probe was not refused").await
        }
        Some(error) => {
            warn!(account.name = name, error = %error, "Account {name} stays paused");
            account::postpone_probe(&context.db, context.now(), name, context.config.delivery.retry_cap).await
        }
    }
}

/// What the platform still holds against the account.
async fn ask(context: &Context, name: &str, credential: Credential) -> Option<SendError> {
    let (_, publisher) = context.account(name)?;
    match publisher.probe(context.now()).await {
        Ok(_) => {
            refresh::proved(context, name, credential).await;
            None
        }
        Err(error) => {
            // Renewed, it is probed again at once.
            let _mended = refresh::mends(context, name, credential, &error).await;
            still_refused(&error).then_some(error)
        }
    }
}

fn still_refused(error: &SendError) -> bool {
    match error {
        SendError::Unauthorized { .. }
        | SendError::OutOfBudget { .. }
        | SendError::Unreachable { .. }
        | SendError::RateLimited { .. } => true,
        SendError::Unconfirmed { .. } | SendError::Duplicate { .. } | SendError::Rejected { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_refusal_keeps_an_account_paused() {
        let reason = String::new;
        assert!(still_refused(&SendError::Unauthorized { reason: reason() }));
        assert!(still_refused(&SendError::OutOfBudget { reason: reason() }));
        assert!(still_refused(&SendError::Unreachable { reason: reason() }));
        assert!(!still_refused(&SendError::Rejected { reason: reason() }));
        assert!(!still_refused(&SendError::Unconfirmed { reason: reason() }));
    }
}
