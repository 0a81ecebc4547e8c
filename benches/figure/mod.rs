//! Figure: prints what was measured beside what it may be.
//!
//! One row of docs/performance.md each, with the load of the machine, for a figure without it says nothing.

use std::fmt;
use std::fs;

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Not less than this.
    AtLeast(f64),
    /// Not more than this.
    AtMost(f64),
    /// Nothing; it is there to compare with.
    None,
}

/// Prints the head of the table.
pub fn head() {
    println!("\n| figure | measured | limit | measured / limit | | load |\n|---|---|---|---|---|---|");
}

/// Prints one row. `unit` stands behind both numbers, as ` ms` or `/s`.
pub fn row(what: &str, measured: f64, unit: &str, limit: Limit) {
    let shown = Number(measured);
    let (bound, ratio, verdict) = match limit {
        Limit::AtLeast(least) => {
            (format!("≥ {}{unit}", Number(least)), measured / least, verdict(measured >= least))
        }
        Limit::AtMost(most) => {
            (format!("≤ {}{unit}", Number(most)), measured / most, verdict(measured <= most))
        }
        Limit::None => {
            println!("| {what} | {shown}{unit} | | | | {} |", load());
            return;
        }
    };
    println!("| {what} | {shown}{unit} | {bound} | {ratio:.2} | {verdict} | {} |", load());
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// The load of the last minute, as Linux tells it.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

/// A number with as many decimals as it deserves.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            size if size >= 100.0 || size.fract() == 0.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}
