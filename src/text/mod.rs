//! Thai and plain text: pure functions, no I/O. Everything songkhao does to words passes here.

pub mod extract;
