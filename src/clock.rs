//! The clock: the only place that reads the time of day.
//!
//! Below `daemon` every function takes `now` as a parameter, so that tests turn the clock by hand.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The present moment, in UTC.
#[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Microseconds since 1970, as every time column of the database holds them.
pub fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// The moment a time column holds; a value outside chrono's range (± 262,000 years) becomes 1970.
pub fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// A span as chrono counts it; spans beyond chrono's range are cut to a thousand years.
pub fn span(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration).unwrap_or(chrono::Duration::days(365_000))
}

/// A reading of the monotonic clock, for spans that a jump of the wall clock must not change.
pub fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}
