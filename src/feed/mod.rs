//! Feed: reads what sources publish; the only place that knows feed formats.

pub mod decode;
pub mod xml;
pub mod repair;
pub mod date;
pub mod image;
