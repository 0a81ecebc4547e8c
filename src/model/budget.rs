//! Budget: what a send costs.

/// What X charges for a post with a link, in thousandths of a USD (docs.x.com pricing, August 2026; x.md section 5).
pub const X_LINKED_POST: u64 = 200;

/// What X charges for a post without one, in thousandths of a USD (same source).
pub const X_PLAIN_POST: u64 = 15;

/// What X charges for one post, in thousandths of a USD. What counts as a link is what counts as one in its length.
pub fn x_post(has_link: bool) -> u64 {
    if has_link { X_LINKED_POST } else { X_PLAIN_POST }
}
