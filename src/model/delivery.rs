//! Delivery: does one act on a platform for a post.
//!
//! Who may move it where is decided in `model::transition`.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use chrono::Utc;
use serde::Deserialize;
use serde::Serialize;

use crate::model::lane::Lane;

/// Where a delivery stands. Its place in the queue is the same row's `due_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for `due_at`. A claim moves it to `Sending`, or to `Held`, `Expired`, `Cancelled`.
    Scheduled,
    /// A node holds its lease; the intent is committed and the request may be on its way.
    /// Only that node's answer or the loss of its lease moves it on.
    Sending,
    /// It may or may not be public. `reconcile` reads back at `due_at` and moves it on.
    Unconfirmed,
    /// Public, with a receipt. Final.
    Delivered,
    /// Refused for certain. A person may schedule it again.
    Failed,
    /// Can't be settled by machine. A person says: it is there, it is not, or drop it.
    Parked,
    /// A hold was on when it came due. A person schedules or cancels it.
    Held,
    /// Past its good-until before it could be sent. Final.
    Expired,
    /// Will not be sent, with the reason. Final.
    Cancelled,
}

impl State {
    /// All states, in the order of a delivery's life.
    pub const ALL: [State; 9] = [
        State::Scheduled,
        State::Sending,
        State::Unconfirmed,
        State::Delivered,
        State::Failed,
        State::Parked,
        State::Held,
        State::Expired,
        State::Cancelled,
    ];

    /// The name used in database, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Sending => "sending",
            State::Unconfirmed => "unconfirmed",
            State::Delivered => "delivered",
            State::Failed => "failed",
            State::Parked => "parked",
            State::Held => "held",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
        }
    }

    /// Whether machine work is left: the daemon will move it on by itself.
    pub fn is_moving(self) -> bool {
        matches!(self, State::Scheduled | State::Sending | State::Unconfirmed)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        State::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| format!("no delivery state is called {name:?}"))
    }
}

/// What a delivery does on the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Makes the post public.
    Publish,
}

impl Act {
    /// The name used in database, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Act::Publish => "publish",
        }
    }
}

/// What the rules look at: the row of a delivery, without its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it stands.
    pub state: State,
    /// When it is next looked at: to be sent, or, while unconfirmed, to be read back.
    pub due_at: DateTime<Utc>,
    /// After this moment it is not worth sending.
    pub good_until: DateTime<Utc>,
    /// Attempts opened so far.
    pub attempts: i64,
    /// Passing faults in a row: the exponent of the back-off.
    pub failures: i64,
    /// How often it was sent again after proven absence; at most `transition::MAX_RESENDS`.
    pub resends: i64,
    /// Looks that found nothing since it became unconfirmed.
    pub looks: i64,
    /// When the last attempt was opened.
    pub attempt_started_at: Option<DateTime<Utc>>,
    /// Since when it may be public without our knowing; `None` once it is proven absent.
    ///
    /// An unconfirmed delivery is always in doubt; so is a scheduled one whose platform recognises repeats,
    /// until a repeat under the same key brings a receipt.
    pub unconfirmed_at: Option<DateTime<Utc>>,
    /// When its retry key was first used: no attempt that may be public is older.
    pub key_used_at: Option<DateTime<Utc>>,
}

impl Facts {
    /// Whether it may be public without our knowing.
    pub fn is_in_doubt(&self) -> bool {
        self.unconfirmed_at.is_some()
    }
}

/// One delivery as it is stored, with the post's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: i64,
    /// The post it is for.
    pub post: i64,
    /// What it does.
    pub act: Act,
    /// The account it goes to.
    pub account: String,
    /// Its lane.
    pub lane: Lane,
    /// State and counters.
    pub facts: Facts,
    /// The key by which LINE recognises a repeat.
    pub retry_key: Option<String>,
    /// Counts claims; a write under an older fence is refused.
    pub fence: i64,
    /// The platform's id, once it is public.
    pub remote_id: Option<String>,
    /// Where readers find it.
    pub permalink: Option<String>,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// The exact request body.
    pub body: String,
    /// SHA-256 of `body` in hex.
    pub hash: String,
    /// What a reader sees.
    pub text: String,
    /// The link in it.
    pub link: Option<String>,
    /// The article it tells of; none for digests and promotions.
    pub article: Option<i64>,
}
