//! Integration tests: the product from the outside.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as tests do")]

mod config;
mod tidy;
mod cluster;
mod postgres;
mod browser;
mod unit_file;
