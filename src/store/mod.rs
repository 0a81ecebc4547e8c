//! Store: holds the only SQL, one file a noun, two engines alike.
//!
//! A function's transaction is its own and never spans a network call; every change of state appends
//! its audit entry in the same transaction.

pub mod db;
pub mod row;
pub mod migration;
pub mod node;
pub mod source;
pub mod article;
pub mod boilerplate;
pub mod summary;
pub mod route;
pub mod post;
pub mod delivery;
pub mod claim;
pub mod attempt;
pub mod listing;
pub mod account;
pub mod hold;
pub mod leap;
pub mod user;
pub mod session;
pub mod audit;
pub mod tree;
pub mod signing_key;
pub mod archive;
pub mod anchor;
pub mod setting;
pub mod gauge;

#[cfg(test)]
mod test;
