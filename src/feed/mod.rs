//! Feed: reads what sources publish; the only place that knows feed formats.
//!
//! Bytes are decoded ([`decode`]), taken apart ([`xml`], [`repair`]), understood by format ([`rss`], [`atom`],
//! [`json`]) and finished alike ([`draft`], [`date`], [`image`]); [`parse`] ties it together. Article pages
//! go through [`page`] ([`facts`], [`clutter`]), in a child process ([`reader`]).

pub mod parse;
pub mod decode;
pub mod xml;
pub mod repair;
pub mod rss;
pub mod atom;
pub mod json;
pub mod draft;
pub mod date;
pub mod image;
pub mod page;
pub mod facts;
pub mod clutter;
pub mod reader;
pub mod depth;
