//! Extract: the sentences of an article that carry its news.

use serde::{Deserialize, Serialize};

/// One unit of an article's body (a sentence or clause a reader would accept), with its worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The unit's text, trimmed.
    pub text: String,
    /// Its place in the order of choice: 0 is taken first.
    pub rank: usize,
    /// Its score: higher is better; only differences mean something.
    pub score: f64,
    /// Whether a paragraph begins here.
    pub paragraph: bool,
}
