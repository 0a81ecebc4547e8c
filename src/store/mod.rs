//! Store: holds the only SQL, one file a noun, two engines alike.
//!
//! A function's transaction is its own and never spans a network call; every change of state appends
//! its audit entry in the same transaction.

pub mod db;
pub mod tx;
pub mod row;
pub mod trouble;
pub mod memory;
pub mod sqlite;
pub mod migration;
pub mod node;
pub mod source;
pub mod article;
pub mod page;
pub mod boilerplate;
pub mod summary;
pub mod route;
pub mod promotion;
pub mod post;
pub mod delivery;
pub mod moves;
pub mod claim;
pub mod finish;
pub mod turn;
pub mod gap;
pub mod attempt;
pub mod listing;
pub mod account;
pub mod token;
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
