//! Post: a summary worded for one account, frozen with its hash.

use serde::{Deserialize, Serialize};

use crate::model::hash;

/// What a post says, before a platform's wire format: compose writes it, `platform` turns it into bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "platform", rename_all = "lowercase")]
pub enum Message {
    /// A link post on a Facebook Page.
    Facebook {
        /// The text above the link card; at most 63,206 code points.
        message: String,
        /// The article's link, byte for byte; `None` for a plain status.
        link: Option<String>,
    },
    /// A post on X; the link stands in the text.
    X {
        /// The text; weighted length at most 280 (twitter-text version 3).
        text: String,
    },
    /// A LINE Flex message: one bubble, or a carousel of up to 12.
    Line {
        /// Shown in notifications and chat lists; at most 1,500 UTF-16 units, not empty.
        alt_text: String,
        /// The bubbles, 1 to 12.
        cards: Vec<Card>,
        /// Deliver without a sound (nights).
        silent: bool,
    },
    /// A LINE text message, shown whole: a person's own words.
    LineText {
        /// The text; at most 5,000 UTF-16 units, not empty.
        text: String,
        /// The link in it, by which it is known.
        link: Option<String>,
        /// Deliver without a sound (nights).
        silent: bool,
    },
}

/// One bubble of a LINE Flex message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// An https picture, JPEG or PNG; left out when there is none that LINE takes.
    pub picture: Option<String>,
    /// The section the story stands in; may be empty.
    pub category: String,
    /// The headline; not empty.
    pub headline: String,
    /// The summary; may be empty.
    pub summary: String,
    /// What the button says; at most 40 grapheme clusters, not empty.
    pub button: String,
    /// Where the button leads.
    pub link: Option<String>,
}

/// The exact bytes a post will send, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The request body: compact JSON in the platform's own wire format.
    pub body: String,
    /// SHA-256 of `body` in hex. Approval and attempts are bound to it.
    pub hash: String,
    /// What a reader sees: Facebook's message, X's text, the LINE bubbles' texts one a line.
    pub text: String,
    /// The link the post carries; the key for reading it back.
    pub link: Option<String>,
}

impl Payload {
    /// Freezes `body`, with its hash.
    pub fn freeze(body: String, text: String, link: Option<String>) -> Payload {
        Payload { hash: hash::sha256_hex(body.as_bytes()), body, text, link }
    }
}
