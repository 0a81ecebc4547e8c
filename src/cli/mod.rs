//! cli

pub mod text;
