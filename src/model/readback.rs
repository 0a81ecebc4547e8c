//! Read-back: finds our own post among those that a platform shows.
//!
//! It is needed when a send gave no answer.
//!
//! The rules come from design.md section 4 and the read-back sections of the platform sheets.

use chrono::{DateTime, Utc};

/// A post as the platform shows it to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePost {
    /// The platform's id.
    pub remote_id: String,
    /// Where readers find it.
    pub permalink: Option<String>,
    /// Its text as a reader sees it: entities unescaped, shortened links put back.
    pub text: String,
    /// Every link in it, expanded.
    pub links: Vec<String>,
    /// When the platform says it was made, on the platform's clock.
    pub created_at: DateTime<Utc>,
    /// The id of the application that made it, where the platform tells.
    pub application: Option<String>,
}

/// The answer to "what did this account publish lately?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// The posts, in any order.
    pub posts: Vec<RemotePost>,
    /// The platform's clock minus ours in seconds, from its `Date` header.
    pub clock_offset: Option<i64>,
}
