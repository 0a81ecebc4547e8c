//! Summary: what we say of an article before any platform.

use serde::{Deserialize, Serialize};

use crate::text::extract::Unit;

/// A summary: enough to word a post for any platform at any length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The headline.
    pub headline: String,
    /// The body's units in document order, each with its rank; posts take the best that fit.
    pub units: Vec<Unit>,
    /// Hashtags with their `#`, best first.
    pub hashtags: Vec<String>,
    /// The section the story stands in.
    pub category: Option<String>,
    /// The picture's address, if it passed the guard.
    pub picture: Option<String>,
    /// The article's link, byte for byte.
    pub link: Option<String>,
}
