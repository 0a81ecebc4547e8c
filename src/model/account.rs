//! Account: one place we post to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The platforms songkhao posts to. A closed list: a fourth one makes the compiler name what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Facebook Pages, through the Graph API.
    Facebook,
    /// X (Twitter), through API v2.
    X,
    /// LINE Official Accounts, through the Messaging API.
    Line,
}

impl Platform {
    /// All platforms.
    pub const ALL: [Platform; 3] = [Platform::Facebook, Platform::X, Platform::Line];

    /// The name used in configuration, database, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Platform::Facebook => "facebook",
            Platform::X => "x",
            Platform::Line => "line",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Platform::ALL
            .into_iter()
            .find(|platform| platform.name() == name)
            .ok_or_else(|| format!("no platform is called {name:?}; there are facebook, x and line"))
    }
}

/// Whether an account really posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Posts are sent.
    #[default]
    Live,
    /// Everything is composed, scheduled, shown and audited, and nothing is sent.
    Shadow,
}
