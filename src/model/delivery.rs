//! Delivery: one act on a platform for a post, and the pure rules by which it moves on.
