//! The nouns: plain data and pure rules, one file each.
//!
//! No I/O, no clock, no SQL, no wire formats.

pub mod source;
pub mod article;
pub mod boilerplate;
pub mod summary;
pub mod account;
pub mod lane;
pub mod cron;
pub mod schedule;
pub mod promotion;
pub mod post;
pub mod delivery;
pub mod transition;
pub mod attempt;
pub mod token;
pub mod readback;
pub mod hash;
pub mod budget;
pub mod user;
pub mod audit;
pub mod merkle;
pub mod chain;
pub mod checkpoint;
pub mod evidence;
pub mod export;
pub mod sheet;
pub mod receipt;

#[cfg(test)]
#[path = "../../tests/it/python.rs"]
mod python;
