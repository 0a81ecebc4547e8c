//! songkhao (ส่งข่าว): watches a newsroom's feeds and posts what is new.
//!
//! To Facebook Pages, X and LINE, exactly once, in good Thai. ARCHITECTURE.md is the map; the order here is the order of layers.

pub mod text;
pub mod clock;
pub mod model;
pub mod secret;
pub mod config;
pub mod telemetry;
pub mod metric;
pub mod http;
pub mod feed;
pub mod platform;
pub mod notify;
pub mod store;
pub mod pipeline;
pub mod web;
pub mod sandbox;
pub mod daemon;
pub mod cli;
