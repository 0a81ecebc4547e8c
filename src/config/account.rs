//! Accounts as configured: where each one lives and with what it signs in.

use std::time::Duration;

use crate::model::account::Mode;
use crate::model::account::Platform;
use crate::secret::SecretString;
use url::Url;

/// One `[[account]]`, read and checked.
#[derive(Debug, Clone)]
pub struct Account {
    /// The name, unique in the file.
    pub name: String,
    /// Whether it really posts.
    pub mode: Mode,
    /// Where its API lives; may carry a path of its own.
    pub base_url: Url,
    /// The smallest distance between two posts; breaking news ignores it.
    pub min_gap: Duration,
    /// What the platform needs to know us by.
    pub connection: Connection,
}

impl Account {
    /// The platform it is on.
    pub fn platform(&self) -> Platform {
        match self.connection {
            Connection::Facebook { .. } => Platform::Facebook,
            Connection::X { .. } => Platform::X,
            Connection::Line { .. } => Platform::Line,
        }
    }
}

/// How an account signs in, by platform. Secrets print as `[REDACTED]`.
#[derive(Debug, Clone)]
pub enum Connection {
    /// A Facebook Page with its Page token.
    Facebook {
        /// The Page's id.
        page_id: String,
        /// The Page token.
        access_token: SecretString,
        /// The app's id, for debug_token and connect.
        app_id: Option<String>,
        /// The app's secret, for appsecret_proof, debug_token and connect.
        app_secret: Option<SecretString>,
        /// The Graph API version, such as `v26.0`.
        api_version: String,
    },
    /// An X profile.
    X {
        /// How requests are signed.
        auth: XAuth,
    },
    /// A LINE Official Account's Messaging API channel.
    Line {
        /// The channel's id.
        channel_id: String,
        /// The channel's secret: issues stateless tokens, checks webhooks.
        channel_secret: SecretString,
    },
}

/// How requests to X are signed.
#[derive(Debug, Clone)]
pub enum XAuth {
    /// OAuth 1.0a: four static secrets.
    OAuth1 {
        /// The app's key.
        consumer_key: SecretString,
        /// The app's secret.
        consumer_secret: SecretString,
        /// The user's token.
        access_token: SecretString,
        /// The user's token secret.
        access_token_secret: SecretString,
    },
    /// OAuth 2.0 with refresh; the token pair lives in the database once connected.
    OAuth2 {
        /// The app's client id.
        client_id: String,
        /// The app's client secret, for confidential clients.
        client_secret: Option<SecretString>,
    },
}
