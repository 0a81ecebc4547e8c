//! Integration tests: the product from the outside.

mod config;
mod tidy;
mod cluster;
mod postgres;
mod browser;
