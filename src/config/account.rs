//! Accounts as configured: where each one lives and with what it signs in.

use std::time::Duration;

use url::Url;

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::reader::Table;
use crate::config::schema::Choice;
use crate::config::schema::Form;
use crate::config::schema::Part;
use crate::config::schema::Rule;
use crate::config::schema::Section;
use crate::config::schema::Value;
use crate::config::schema::section;
use crate::model::account::Mode;
use crate::model::account::Platform;
use crate::model::schedule::QuietHours;
use crate::secret::SecretString;

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
    /// When it keeps silent; breaking news passes.
    pub quiet_hours: QuietHours,
    /// When its posts arrive without a sound (LINE only; elsewhere always empty).
    pub silent_hours: QuietHours,
    /// Whether a post with the same link made by somebody else is looked for before publishing.
    pub already_there: bool,
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

impl Account {
    /// Whether a token stored in the database counts for it.
    pub fn takes_tokens(&self) -> bool {
        self.renews_tokens() || matches!(self.connection, Connection::Facebook { .. })
    }

    /// Whether that token is renewed, and the account can't do without one.
    pub fn renews_tokens(&self) -> bool {
        matches!(self.connection, Connection::X { auth: XAuth::OAuth2 { .. } })
    }

    /// The id under which the platform knows our application, where it tells applications apart.
    pub fn application(&self) -> Option<&str> {
        match &self.connection {
            Connection::Facebook { app_id, .. } => app_id.as_deref(),
            Connection::X { .. } | Connection::Line { .. } => None,
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

section! {
    /// One place to post to. One table each; the keys below `platform` depend on it.
    pub struct AccountKeys {
        /// The name by which routes, pages and commands know it. A renamed account is a new one.
        name: String => "inn-facebook" where Rule::Name,
        /// Where it is.
        platform: Platform => "facebook",
        /// "live" posts; "shadow" does everything but send, for a trial beside another tool.
        mode: Mode = "live",
        /// Stretches of the day in which nothing but breaking news goes out, such as ["23:00-06:00"].
        quiet_hours: QuietHours = [],
    }
}

section! {
    /// A Facebook Page.
    pub struct FacebookKeys {
        /// The Page's id.
        page_id: String => "100000000000001" where Rule::Id,
        /// The Page token.
        access_token: SecretString => { env = "FB_PAGE_TOKEN" },
        /// The app's id; with `app_secret` the token can be inspected and connected in the browser.
        app_id: Option<String> => "1234" where Rule::Id,
        /// The app's secret; with it every request is signed (appsecret_proof).
        app_secret: Option<SecretString> => { env = "FB_APP_SECRET" },
        /// The version of the Graph API.
        api_version: String = "v26.0" where Rule::Id,
        /// Where the API is; may carry a path.
        base_url: Url = "https://graph.facebook.com",
        /// The least time between two posts; breaking news ignores it.
        min_gap: Duration = "90s" where Rule::Between("0s", "7d"),
        /// Look, before publishing, whether an editor has posted the same link by hand; then ours is left out.
        already_there: bool = true,
    }
}

section! {
    /// An X profile, signed in by `oauth1` or by `oauth2`.
    pub struct XKeys {
        /// Four static secrets (OAuth 1.0a).
        oauth1: Option<OAuth1> => {
            consumer_key = { env = "X_KEY" }, consumer_secret = { env = "X_SECRET" },
            access_token = { env = "X_TOKEN" }, access_token_secret = { env = "X_TOKEN_SECRET" }
        },
        /// The app's client (OAuth 2.0); then run `songkhao account connect NAME` or `account import NAME`.
        oauth2: Option<OAuth2> => { client_id = "…", client_secret = { env = "X_CLIENT_SECRET" } },
        /// Where the API is; may carry a path.
        base_url: Url = "https://api.x.com",
        /// The least time between two posts; breaking news ignores it.
        min_gap: Duration = "30s" where Rule::Between("0s", "7d"),
        /// Look, before publishing, whether an editor has posted the same link by hand. Every look costs X credit.
        already_there: bool = false,
    }
}

section! {
    /// Four static secrets of X (OAuth 1.0a).
    pub struct OAuth1 {
        /// The app's key.
        consumer_key: SecretString => { env = "X_KEY" },
        /// The app's secret.
        consumer_secret: SecretString => { env = "X_SECRET" },
        /// The user's token.
        access_token: SecretString => { env = "X_TOKEN" },
        /// The user's token secret.
        access_token_secret: SecretString => { env = "X_TOKEN_SECRET" },
    }
}

section! {
    /// The app's client at X (OAuth 2.0); the tokens themselves live in the database.
    pub struct OAuth2 {
        /// The app's client id.
        client_id: String => "…" where Rule::Filled,
        /// The app's client secret; left out for a public client.
        client_secret: Option<SecretString> => { env = "X_CLIENT_SECRET" },
    }
}

section! {
    /// A LINE Official Account.
    pub struct LineKeys {
        /// The id of its Messaging API channel.
        channel_id: String => "1234567890" where Rule::Id,
        /// The channel's secret: with it tokens are issued and hooks checked.
        channel_secret: SecretString => { env = "LINE_CHANNEL_SECRET" },
        /// Where the API is; may carry a path.
        base_url: Url = "https://api.line.me",
        /// The least time between two posts; breaking news ignores it.
        min_gap: Duration = "0s" where Rule::Between("0s", "7d"),
        /// Stretches of the day in which messages arrive without a sound, such as ["22:00-07:00"].
        silent_hours: QuietHours = [],
    }
}

/// The keys of an account by platform, for the manual.
const PARTS: &[Part] = &[
    Part { only: "", doc: AccountKeys::DOC, keys: AccountKeys::KEYS },
    Part { only: "platform = \"facebook\"", doc: FacebookKeys::DOC, keys: FacebookKeys::KEYS },
    Part { only: "platform = \"x\"", doc: XKeys::DOC, keys: XKeys::KEYS },
    Part { only: "platform = \"line\"", doc: LineKeys::DOC, keys: LineKeys::KEYS },
];

impl Choice for Platform {
    const WORDS: &'static [(&'static str, Platform)] =
        &[("facebook", Platform::Facebook), ("x", Platform::X), ("line", Platform::Line)];
}

impl Choice for Mode {
    const WORDS: &'static [(&'static str, Mode)] = &[("live", Mode::Live), ("shadow", Mode::Shadow)];
}

impl Value for Account {
    fn form() -> Form {
        Form::Table(PARTS)
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Account> {
        let table = reader.table(at)?;
        let common = AccountKeys::read_keys(reader, &table);
        // Without a known platform there is no telling which keys belong here, so those of all of them pass.
        let platform = table.text("platform").and_then(|word| word.parse::<Platform>().ok());
        let Some(platform) = platform else {
            let all: Vec<_> = PARTS.iter().map(|part| part.keys).collect();
            reader.refuse_unknown(&table, &all);
            return None;
        };
        match platform {
            Platform::Facebook => facebook(reader, &table, common),
            Platform::X => x(reader, &table, common),
            Platform::Line => line(reader, &table, common),
        }
    }
}

fn facebook(reader: &mut Reader<'_>, table: &Table<'_>, common: Option<AccountKeys>) -> Option<Account> {
    reader.refuse_unknown(table, &[AccountKeys::KEYS, FacebookKeys::KEYS]);
    let keys = FacebookKeys::read_keys(reader, table)?;
    if keys.app_id.is_some() && keys.app_secret.is_none() {
        let text = "`app_id` does nothing without `app_secret`; give both or neither";
        reader.fault(table.offset_of("app_id"), &table.path_to("app_id"), text);
        return None;
    }
    let FacebookKeys { page_id, access_token, app_id, app_secret, api_version, .. } = keys;
    let connection = Connection::Facebook { page_id, access_token, app_id, app_secret, api_version };
    let own = Own { base_url: keys.base_url, min_gap: keys.min_gap, already_there: keys.already_there };
    Some(account(common?, own, QuietHours::default(), connection))
}

fn x(reader: &mut Reader<'_>, table: &Table<'_>, common: Option<AccountKeys>) -> Option<Account> {
    reader.refuse_unknown(table, &[AccountKeys::KEYS, XKeys::KEYS]);
    // Judged by what stands there: a broken `oauth1` is no reason to ask for an `oauth2` as well.
    match (table.keys.get("oauth1"), table.keys.get("oauth2")) {
        (Some(_), Some(_)) => {
            let text = "`oauth1` and `oauth2` are both given; keep one of them";
            reader.fault(table.offset_of("oauth2"), &table.path_to("oauth2"), text);
        }
        (None, None) => {
            let text = "is missing; give `oauth1` (four secrets) or `oauth2` (the app's client, then \
                        `songkhao account connect`)";
            reader.fault(table.offset, &table.path_to("oauth1"), text);
        }
        _ => {}
    }
    let keys = XKeys::read_keys(reader, table)?;
    let auth = match (keys.oauth1, keys.oauth2) {
        (Some(OAuth1 { consumer_key, consumer_secret, access_token, access_token_secret }), None) => {
            XAuth::OAuth1 { consumer_key, consumer_secret, access_token, access_token_secret }
        }
        (None, Some(OAuth2 { client_id, client_secret })) => XAuth::OAuth2 { client_id, client_secret },
        _ => return None,
    };
    let own = Own { base_url: keys.base_url, min_gap: keys.min_gap, already_there: keys.already_there };
    Some(account(common?, own, QuietHours::default(), Connection::X { auth }))
}

fn line(reader: &mut Reader<'_>, table: &Table<'_>, common: Option<AccountKeys>) -> Option<Account> {
    reader.refuse_unknown(table, &[AccountKeys::KEYS, LineKeys::KEYS]);
    let LineKeys { channel_id, channel_secret, base_url, min_gap, silent_hours } =
        LineKeys::read_keys(reader, table)?;
    // LINE can't be asked what was posted.
    let own = Own { base_url, min_gap, already_there: false };
    Some(account(common?, own, silent_hours, Connection::Line { channel_id, channel_secret }))
}

/// Settings that every platform has, with defaults of its own.
struct Own {
    base_url: Url,
    min_gap: Duration,
    already_there: bool,
}

fn account(common: AccountKeys, own: Own, silent_hours: QuietHours, connection: Connection) -> Account {
    let AccountKeys { name, mode, quiet_hours, .. } = common;
    let Own { base_url, min_gap, already_there } = own;
    Account { name, mode, base_url, min_gap, quiet_hours, silent_hours, already_there, connection }
}
