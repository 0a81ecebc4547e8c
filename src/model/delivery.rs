//! Delivery: one act on a platform for a post, and how it moves on.
