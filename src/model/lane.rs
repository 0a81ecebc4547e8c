//! Lane: which posts go first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The three lanes, in the order in which an account serves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Goes first and ignores spacing, settling and quiet hours.
    Breaking,
    /// Everyday news.
    Normal,
    /// Editors' own messages; goes last.
    Promotion,
}

impl Lane {
    /// All lanes, first served first.
    pub const ALL: [Lane; 3] = [Lane::Breaking, Lane::Normal, Lane::Promotion];

    /// The name used in configuration, database, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Lane::Breaking => "breaking",
            Lane::Normal => "normal",
            Lane::Promotion => "promotion",
        }
    }

    /// The place in the queue: 0 is served first.
    pub fn rank(self) -> i64 {
        self as i64
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Lane::ALL
            .into_iter()
            .find(|lane| lane.name() == name)
            .ok_or_else(|| format!("no lane is called {name:?}; there are breaking, normal and promotion"))
    }
}
