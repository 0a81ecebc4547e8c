//! Platforms: what Facebook, X and LINE are told, and what their answers mean.
//!
//! Only this folder knows third-party wire formats. An adapter never retries, schedules or touches the database:
//! it sends once, says what happened, and stops. What it can't understand is [`SendError::Unconfirmed`].

pub mod facebook;
pub mod line;
mod oauth1;
mod transport;
pub mod x;
#[cfg(test)]
mod wire;

use chrono::DateTime;
use chrono::Utc;
use url::Url;
use uuid::Uuid;

use crate::config::account::Account;
use crate::config::account::Connection;
use crate::http;
use crate::http::Timeouts;
use crate::model::account::Platform;
use crate::model::attempt::Answer;
use crate::model::attempt::SendError;
use crate::model::post::Message;
use crate::model::post::Payload;
use crate::model::readback::Recent;
use crate::platform::facebook::Facebook;
use crate::platform::line::Line;
use crate::platform::x::X;
use crate::platform::x::token::App;
use crate::secret::SecretString;

/// One account's way to its platform. A closed list: a fourth platform makes the compiler name what it needs.
#[derive(Debug)]
pub enum Publisher {
    /// A Facebook Page.
    Facebook(Facebook),
    /// An X profile.
    X(X),
    /// A LINE Official Account.
    Line(Line),
}

impl Publisher {
    /// The way to an account, with an HTTP client of its own; nothing is sent yet. A token `stored` in the database wins
    /// over the file's.
    ///
    /// # Errors
    /// When a secret can't stand in an HTTP header, or the TLS back end can't be set up.
    pub fn new(
        account: &Account,
        timeouts: Timeouts,
        stored: Option<&SecretString>,
    ) -> anyhow::Result<Publisher> {
        let http = http::platform_client(timeouts)?;
        let base_url = account.base_url.clone();
        Ok(match &account.connection {
            Connection::Facebook { page_id, access_token, app_id: _, app_secret, api_version } => {
                Publisher::Facebook(Facebook::new(
                    http,
                    base_url,
                    api_version,
                    page_id,
                    stored.unwrap_or(access_token),
                    app_secret.as_ref(),
                )?)
            }
            Connection::X { auth } => Publisher::X(X::new(http, base_url, auth, stored)?),
            Connection::Line { channel_id, channel_secret } => {
                Publisher::Line(Line::new(http, base_url, channel_id, channel_secret))
            }
        })
    }

    /// The same way, with the profile's id on X known from an earlier run; nothing for other platforms.
    pub fn with_user_id(self, user_id: String) -> Publisher {
        match self {
            Publisher::X(x) => Publisher::X(x.with_user_id(user_id)),
            other => other,
        }
    }

    /// The profile's id on X, once it is known: worth storing, because asking costs money.
    pub fn user_id(&self) -> Option<&str> {
        match self {
            Publisher::X(x) => x.user_id(),
            Publisher::Facebook(_) | Publisher::Line(_) => None,
        }
    }

    /// The app by which a person connects the account, and its token is renewed; X with OAuth 2.0 alone has one.
    pub fn app(&self) -> Option<&App> {
        match self {
            Publisher::X(x) => x.app(),
            Publisher::Facebook(_) | Publisher::Line(_) => None,
        }
    }

    /// The platform behind it.
    pub fn platform(&self) -> Platform {
        match self {
            Publisher::Facebook(_) => Platform::Facebook,
            Publisher::X(_) => Platform::X,
            Publisher::Line(_) => Platform::Line,
        }
    }

    /// Whether the platform recognises a repeated send by its retry key, so that repeating is harmless.
    pub fn recognises_repeats(&self) -> bool {
        match self {
            Publisher::Line(_) => true,
            Publisher::Facebook(_) | Publisher::X(_) => false,
        }
    }

    /// Whether [`Publisher::recent`] can tell what the account published.
    pub fn can_read_back(&self) -> bool {
        match self {
            Publisher::Facebook(_) | Publisher::X(_) => true,
            Publisher::Line(_) => false,
        }
    }

    /// Publishes exactly the bytes of `payload`, once; `retry_key` is LINE's alone and must be there for it.
    pub async fn send(&self, payload: &str, retry_key: Option<Uuid>, now: DateTime<Utc>) -> Answer {
        match self {
            Publisher::Facebook(facebook) => facebook.send(payload, now).await,
            Publisher::X(x) => x.send(payload, now).await,
            Publisher::Line(line) => match retry_key {
                Some(key) => line.send(payload, key, now).await,
                // Without a key a lost answer could never be settled, so nothing is sent.
                None => transport::unanswered(SendError::Rejected {
                    reason: "a LINE post needs a retry key; nothing was sent".into(),
                }),
            },
        }
    }

    /// What the account published since `since` (on our clock), read to the end of the platform's list.
    ///
    /// `since` must reach back to the newest post known to be ours, or
    /// [`is_fresh`](crate::model::readback::is_fresh) can't find it. The platform's clock offset and
    /// [`CLOCK_MARGIN`](crate::model::readback::CLOCK_MARGIN) are allowed for here.
    ///
    /// # Errors
    /// Whatever kept the list from being read and understood whole; absence must not be concluded from it.
    pub async fn recent(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<Recent, SendError> {
        match self {
            Publisher::Facebook(facebook) => facebook.recent(since, now).await,
            Publisher::X(x) => x.recent(since, now).await,
            Publisher::Line(_) => {
                Err(SendError::Unconfirmed { reason: "LINE has no list of what was broadcast".into() })
            }
        }
    }

    /// Proves the credential with a read that publishes nothing.
    ///
    /// # Errors
    /// What the platform answered instead of the account's name.
    pub async fn probe(&self, now: DateTime<Utc>) -> Result<Health, SendError> {
        match self {
            Publisher::Facebook(facebook) => facebook.probe(now).await,
            Publisher::X(x) => x.probe(now).await,
            Publisher::Line(line) => line.probe(now).await,
        }
    }
}

/// What a platform says about an account whose credential works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The account's name as readers see it.
    pub name: String,
    /// What else it tells, as (name, value), for `account check`.
    pub details: Vec<(String, String)>,
}

/// Why a message can't become a post: the platform's own limits, checked before anything is frozen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Longer than the platform takes.
    #[error("{field}: {length} {unit}, at most {limit} are allowed; shorten it")]
    TooLong {
        /// The field, such as `cards[2].button`.
        field: String,
        /// Its length.
        length: usize,
        /// The most the platform takes.
        limit: usize,
        /// What both are counted in.
        unit: &'static str,
    },
    /// Empty where the platform needs something.
    #[error("{field}: is empty; {cure}")]
    Empty {
        /// The field.
        field: String,
        /// What to do.
        cure: &'static str,
    },
    /// Of a kind the platform refuses.
    #[error("{field}: {value:?} {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What is wrong, and the cure.
        problem: &'static str,
    },
}

/// Freezes a message into the exact bytes to send, or says which of the platform's limits it breaks.
///
/// # Errors
/// [`Unfit`], naming the field, what it holds and the limit.
pub fn freeze(message: &Message) -> Result<Payload, Unfit> {
    match message {
        Message::Facebook { message, link } => facebook::freeze(message, link.as_deref()),
        Message::X { text } => x::freeze(text),
        Message::Line { alt_text, cards, silent } => line::freeze(alt_text, cards, *silent),
        Message::LineText { text, link, silent } => line::freeze_text(text, link.as_deref(), *silent),
    }
}

/// Appends a path to a base address that may carry a path of its own (`Url::join` would drop it).
pub fn endpoint(base_url: &Url, path: &str) -> Url {
    let mut url = base_url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only addresses like `mailto:` have no path; the configuration takes none but http and https.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

/// Refuses a text longer than `limit`.
fn within(field: &str, length: usize, limit: usize, unit: &'static str) -> Result<(), Unfit> {
    match length <= limit {
        true => Ok(()),
        false => Err(Unfit::TooLong { field: field.to_owned(), length, limit, unit }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::account::XAuth;
    use crate::model::account::Mode;
    use crate::model::post::Card;
    use crate::model::schedule::QuietHours;

    #[test]
    fn a_base_address_keeps_its_path_and_nothing_else() {
        check("https://api.x.com", "2/tweets", "https://api.x.com/2/tweets");
        check("https://api.x.com/", "2/tweets", "https://api.x.com/2/tweets");
        check("http://127.0.0.1:9000/line", "v2/bot/info", "http://127.0.0.1:9000/line/v2/bot/info");
        check("http://127.0.0.1:9000/a/b/", "v26.0/1/feed", "http://127.0.0.1:9000/a/b/v26.0/1/feed");
        check("https://a.th/x?token=t#f", "y", "https://a.th/x/y");
        check("https://a.th", "2/users/1?2/tweets", "https://a.th/2/users/1%3F2/tweets");

        #[track_caller]
        fn check(base_url: &str, path: &str, expected: &str) {
            assert_eq!(endpoint(&base_url.parse().unwrap(), path).as_str(), expected);
        }
    }

    #[test]
    fn each_account_gets_its_platforms_way() {
        http::install_tls();
        let secret = || "s3cret".into();
        let facebook = Connection::Facebook {
            page_id: "1".into(),
            access_token: secret(),
            app_id: None,
            app_secret: None,
            api_version: "v26.0".into(),
        };
        let x = Connection::X { auth: XAuth::OAuth2 { client_id: "c".into(), client_secret: None } };
        let line = Connection::Line { channel_id: "1".into(), channel_secret: secret() };
        check(facebook, Platform::Facebook, false, true);
        check(x, Platform::X, false, true);
        check(line, Platform::Line, true, false);

        #[track_caller]
        fn check(connection: Connection, platform: Platform, recognises_repeats: bool, can_read_back: bool) {
            let publisher = publisher(connection).unwrap();
            assert_eq!(publisher.platform(), platform);
            assert_eq!(publisher.recognises_repeats(), recognises_repeats);
            assert_eq!(publisher.can_read_back(), can_read_back);
            let known = publisher.with_user_id("7".into());
            assert_eq!(known.user_id(), (platform == Platform::X).then_some("7"));
        }
    }

    #[test]
    fn a_token_no_header_can_carry_is_refused_at_once() {
        http::install_tls();
        let facebook = Connection::Facebook {
            page_id: "1".into(),
            access_token: "t0ken\n".into(),
            app_id: None,
            app_secret: None,
            api_version: "v26.0".into(),
        };
        let error = publisher(facebook).unwrap_err().to_string();
        assert!(error.contains("access_token") && !error.contains("t0ken"), "{error}");
    }

    #[tokio::test]
    async fn line_has_nothing_to_read_back() {
        http::install_tls();
        let line =
            publisher(Connection::Line { channel_id: "1".into(), channel_secret: "s".into() }).unwrap();
        let error = line.recent(wire::now(), wire::now()).await.unwrap_err();
        assert!(matches!(error, SendError::Unconfirmed { .. }), "{error:?}");
    }

    #[test]
    fn a_message_is_frozen_by_its_platform() {
        let facebook = Message::Facebook { message: "ข่าว".into(), link: None };
        assert_eq!(freeze(&facebook).unwrap().body, r#"{"message":"ข่าว"}"#);
        let x = Message::X { text: "ข่าว".into() };
        assert_eq!(freeze(&x).unwrap().body, r#"{"text":"ข่าว"}"#);
        let card = Card {
            picture: None,
            category: String::new(),
            headline: "ข่าว".into(),
            summary: String::new(),
            button: "อ่านต่อ".into(),
            link: None,
        };
        let line = Message::Line { alt_text: "ข่าว".into(), cards: vec![card], silent: true };
        assert!(freeze(&line).unwrap().body.starts_with(r#"{"messages":[{"type":"flex","altText":"ข่าว","#));
        let words =
            Message::LineText { text: "ลดทั้งร้าน".into(), link: None, silent: false };
        assert_eq!(freeze(&words).unwrap().body, r#"{"messages":[{"type":"text","text":"ลดทั้งร้าน"}]}"#);
    }

    fn publisher(connection: Connection) -> anyhow::Result<Publisher> {
        let account = Account {
            name: "a".into(),
            mode: Mode::Live,
            base_url: "http://127.0.0.1:1".parse().unwrap(),
            min_gap: Duration::ZERO,
            quiet_hours: QuietHours::default(),
            silent_hours: QuietHours::default(),
            already_there: false,
            connection,
        };
        Publisher::new(
            &account,
            Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) },
            None,
        )
    }
}
