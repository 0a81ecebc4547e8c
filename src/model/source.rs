//! Source: something we watch for articles.

use serde::{Deserialize, Serialize};

/// What we remember of a source between two polls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The last `ETag`, byte for byte; sent back as `If-None-Match`.
    pub etag: Option<String>,
    /// The last `Last-Modified`, byte for byte; sent back as `If-Modified-Since`.
    pub last_modified: Option<String>,
    /// SHA-256 of the last body that was read, in hex.
    pub body_hash: Option<String>,
}
