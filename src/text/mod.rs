//! Text: Thai and plain text, pure functions without I/O.
//!
//! Reading order: letters and clean text first, then words, what may not be torn apart, cuts,
//! sentences, the choice among them, and last what platforms and sites ask for.

pub mod letter;
pub mod normal;
pub mod token;
pub mod words;
pub mod table;
pub mod name;
pub mod span;
pub mod reading;
pub mod cut;
pub mod sentence;
pub mod chrome;
pub mod lead;
pub mod extract;
pub mod passage;
pub mod address;
pub mod keyword;
pub mod length;
pub mod html;
pub mod plain;
pub mod quote;
pub mod date;
#[cfg(test)]
mod vectors;
