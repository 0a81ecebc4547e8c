//! Attempt: one try of a delivery, and how it ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Proof of publication, as the platform names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The platform's id of the post; on LINE the id of the accepted request.
    pub remote_id: String,
    /// Where readers find the post, if the platform says so.
    pub permalink: Option<String>,
}

impl Receipt {
    /// A receipt for a post that a person found at `link`: the platform's id is what stands at its end,
    /// or the whole link where no number stands there.
    pub fn found_at(link: &str) -> Receipt {
        let path = link.split(['?', '#']).next().unwrap_or(link);
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let has_number = last.bytes().any(|byte| byte.is_ascii_digit());
        let remote_id = if has_number { last.to_owned() } else { link.to_owned() };
        Receipt { remote_id, permalink: Some(link.to_owned()) }
    }
}

/// Why a send gave no receipt, sorted by what must be done next.
///
/// There is no `Other`: an answer that is not understood is `Unconfirmed`, the careful one.
/// Every text is safe to log and to show: adapters take tokens out before they build one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SendError {
    /// Slow down; the platform may say for how long. Throttles the account, never uses up an attempt.
    #[error("rate limited: {reason}")]
    RateLimited {
        /// How long the platform asks us to wait, if it says.
        retry_after: Option<Duration>,
        /// The platform's own words.
        reason: String,
    },
    /// Nothing was published, for certain: no byte of the request reached the platform.
    #[error("platform unreachable: {reason}")]
    Unreachable {
        /// What failed: resolving, connecting, TLS.
        reason: String,
    },
    /// It may or may not be public: the answer is missing or can't be understood.
    #[error("no confirmation: {reason}")]
    Unconfirmed {
        /// What was seen instead of a receipt.
        reason: String,
    },
    /// The platform says it has this post already: read back before anything else.
    #[error("the platform reports a duplicate: {reason}")]
    Duplicate {
        /// The platform's own words.
        reason: String,
    },
    /// The credential is refused; the account pauses and a person must renew it.
    #[error("credential refused: {reason}")]
    Unauthorized {
        /// The platform's own words.
        reason: String,
    },
    /// The month's quota or the credit is used up; the account pauses.
    #[error("out of budget: {reason}")]
    OutOfBudget {
        /// The platform's own words.
        reason: String,
    },
    /// The post is refused; the same post will be refused again.
    #[error("post refused: {reason}")]
    Rejected {
        /// The platform's own words.
        reason: String,
    },
}

impl SendError {
    /// The kind, as rows, logs and metrics name it.
    pub fn kind(&self) -> &'static str {
        match self {
            SendError::RateLimited { .. } => "rate_limited",
            SendError::Unreachable { .. } => "unreachable",
            SendError::Unconfirmed { .. } => "unconfirmed",
            SendError::Duplicate { .. } => "duplicate",
            SendError::Unauthorized { .. } => "unauthorized",
            SendError::OutOfBudget { .. } => "out_of_budget",
            SendError::Rejected { .. } => "rejected",
        }
    }

    /// The reason alone, without the kind.
    pub fn reason(&self) -> &str {
        match self {
            SendError::RateLimited { reason, .. }
            | SendError::Unreachable { reason }
            | SendError::Unconfirmed { reason }
            | SendError::Duplicate { reason }
            | SendError::Unauthorized { reason }
            | SendError::OutOfBudget { reason }
            | SendError::Rejected { reason } => reason,
        }
    }
}

/// What a platform answered to one publishing request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A receipt, or why there is none.
    pub result: Result<Receipt, SendError>,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The platform's id of the request (x-line-request-id, x-transaction-id, x-fb-trace-id).
    pub request_id: Option<String>,
    /// The platform's clock minus ours in seconds, from its `Date` header; whole seconds.
    pub clock_offset: Option<i64>,
}
