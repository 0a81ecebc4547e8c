//! Integration tests: the product from the outside.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as tests do")]

// Clippy allows `unwrap` in tests and in what `cfg(test)` holds, and the helpers of these tests are neither.
#![cfg(test)]

mod config;
mod tidy;
mod cluster;
mod postgres;
mod browser;
mod unit_file;
