//! Configuration: what the operator writes in `config.toml`, checked whole before anything starts.

pub mod account;
