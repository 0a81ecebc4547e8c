//! CLI: runs the commands, one file per noun; prints what they promise.

pub mod source;
pub mod text;
