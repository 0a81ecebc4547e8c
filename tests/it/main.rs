//! Integration tests: the product from the outside.

// Clippy allows `unwrap` in tests and in what `cfg(test)` holds, and the helpers of these tests are neither.
#![cfg(test)]

mod config;
mod tidy;
mod operator;
mod cluster;
mod postgres;
mod browser;
mod unit_file;
mod arena;
mod dice;
mod torture;
mod token;
mod renewal;
mod simulation;
mod durability;
mod restore;
mod trouble;
mod failover;
mod site;
mod tamper;
mod app;
mod outage;
mod reading;
mod posting;
mod editing;
mod command_line;
mod promotion;
mod ledger;
