//! Transport: one request over HTTP, and what it proves when no answer comes.
//!
//! The line that matters: an error before the first byte left is [`SendError::Unreachable`]; any later one may
//! have published the post and is [`SendError::Unconfirmed`].

use std::error::Error;
use std::time::Duration;

use chrono::DateTime;
use chrono::NaiveDateTime;
use chrono::Utc;
use reqwest::RequestBuilder;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::http;
use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;

/// The largest answer that is read, in decoded bytes; a platform's honest ones are a few hundred kilobytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The longest pause an answer may ask for; a header that says more is a fault, not a wish.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// How much of a platform's words an error keeps, in characters.
const REASON_LIMIT: usize = 300;

/// The shortest secret that is hidden, in bytes. No platform issues shorter ones; the sandbox takes any, and hiding
/// "x" would make every reason unreadable.
const SECRET_MIN: usize = 4;

/// How much of a request id an answer keeps, in characters.
const REQUEST_ID_LIMIT: usize = 200;

/// The three date forms of RFC 9110, section 5.6.7; the first is the one in use.
const HTTP_DATES: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// A platform's answer as it came: enough to classify it without the network.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    /// The body; or why it could not be read whole. What was read of a broken one is thrown away: half a JSON
    /// document proves nothing.
    body: Result<Vec<u8>, String>,
    /// Our clock when the answer's head came.
    answered_at: DateTime<Utc>,
}

impl Reply {
    /// An answer from its parts.
    pub(crate) fn new(
        status: StatusCode,
        headers: HeaderMap,
        body: Result<Vec<u8>, String>,
        answered_at: DateTime<Utc>,
    ) -> Reply {
        Reply { status, headers, body, answered_at }
    }

    /// A header's value, if it is there and readable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header's value as a whole number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.header(name)?.trim().parse().ok()
    }

    /// The body read as a JSON object; `None` when it broke off, was cut or is something else.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        let body = self.body.as_ref().ok()?.trim_ascii_start();
        // serde would also read a struct from an array, field by field; no platform answers so.
        body.starts_with(b"{").then(|| serde_json::from_slice(body).ok()).flatten()
    }

    /// The body, if it was read whole.
    pub(crate) fn body(&self) -> Option<&[u8]> {
        self.body.as_deref().ok()
    }

    /// The platform's clock when it answered; ours where it sent no date.
    pub(crate) fn platform_time(&self) -> DateTime<Utc> {
        self.date().unwrap_or(self.answered_at)
    }

    /// The platform's clock minus ours, in whole seconds.
    pub(crate) fn clock_offset(&self) -> Option<i64> {
        Some((self.date()? - self.answered_at).num_seconds())
    }

    /// How long `Retry-After` asks us to wait, given in seconds or as a date on the platform's own clock.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        match value.parse() {
            Ok(seconds) => Some(pause(seconds)),
            Err(_) => Some(self.pause_until(http_date(value)?)),
        }
    }

    /// How long it is until a moment on the platform's clock.
    pub(crate) fn pause_until(&self, moment: DateTime<Utc>) -> Duration {
        pause((moment - self.platform_time()).num_seconds())
    }

    /// What the answer looks like, for reasons when it can't be understood.
    pub(crate) fn describe(&self) -> String {
        let kind = self.header("content-type").unwrap_or("no content type");
        match &self.body {
            Ok(body) if body.is_empty() => format!("HTTP {}, empty", self.status),
            Ok(body) => format!("HTTP {}, {} bytes of {kind}", self.status, body.len()),
            Err(broken) => format!("HTTP {}, {broken}", self.status),
        }
    }

    /// The answer as attempts keep it; `request_id` names the header with the platform's id of the request.
    pub(crate) fn into_answer(self, request_id: &str, result: Result<Receipt, SendError>) -> Answer {
        Answer {
            result,
            status: Some(self.status.as_u16()),
            request_id: self.header(request_id).map(|id| plain(id, REQUEST_ID_LIMIT)),
            clock_offset: self.clock_offset(),
        }
    }

    fn date(&self) -> Option<DateTime<Utc>> {
        http_date(self.header("date")?)
    }
}

/// Sends one request, once, and reads its answer; `now` is our clock as it starts.
///
/// # Errors
/// [`SendError::Unreachable`] when surely nothing was sent, else [`SendError::Unconfirmed`]. A body that broke
/// off is no error: the [`Reply`] says so, because its status still tells something.
pub(crate) async fn exchange(request: RequestBuilder, now: DateTime<Utc>) -> Result<Reply, SendError> {
    // An Instant measures, it doesn't read the time of day: an answer may come 45 s after `now`.
    let start = Instant::now();
    let response = request.send().await.map_err(lost)?;
    let answered_at = now + start.elapsed();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = http::read_body(response, BODY_LIMIT).await;
    Ok(Reply::new(status, headers, body.map(Vec::from).map_err(|error| error.to_string()), answered_at))
}

/// The attempt's answer when there was none.
pub(crate) fn unanswered(error: SendError) -> Answer {
    Answer { result: Err(error), status: None, request_id: None, clock_offset: None }
}

/// A header that carries a secret and is kept out of debug prints.
///
/// # Errors
/// When the secret holds characters a header can't carry, such as the line end of a file it was read from.
pub(crate) fn secret_header(text: &str, place: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        anyhow::anyhow!(
            "{place} holds characters that no HTTP header may carry; look for line ends or quotes"
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Takes an account's secrets out of what a platform says before anyone reads it.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    secrets: Vec<SecretString>,
}

impl Scrub {
    /// A scrub for these secrets; those shorter than [`SECRET_MIN`] are ignored.
    pub(crate) fn new(secrets: impl IntoIterator<Item = SecretString>) -> Scrub {
        let mut secrets: Vec<_> =
            secrets.into_iter().filter(|secret| secret.expose_secret().len() >= SECRET_MIN).collect();
        // Longest first: a secret inside another one must not leave the rest of it standing.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Scrub { secrets }
    }

    /// One more secret, such as a token just issued.
    pub(crate) fn with(&self, secret: &SecretString) -> Scrub {
        Scrub::new(self.secrets.iter().cloned().chain([secret.clone()]))
    }

    /// `text` without secrets and control characters, short enough for a row and a log line.
    pub(crate) fn text(&self, text: &str) -> String {
        // A mark of one character that no platform sends, so that no secret is found again in "[secret]".
        let hidden = self
            .secrets
            .iter()
            .fold(text.replace('\0', " "), |text, secret| text.replace(secret.expose_secret(), "\0"));
        plain(&hidden.replace('\0', "[secret]"), REASON_LIMIT)
    }

    /// The same error with a reason that is safe to log and to show.
    pub(crate) fn error(&self, mut error: SendError) -> SendError {
        match &mut error {
            SendError::RateLimited { reason, .. }
            | SendError::Unreachable { reason }
            | SendError::Unconfirmed { reason }
            | SendError::Duplicate { reason }
            | SendError::Unauthorized { reason }
            | SendError::OutOfBudget { reason }
            | SendError::Rejected { reason } => *reason = self.text(reason),
        }
        error
    }
}

/// What a failed exchange proves.
fn lost(error: reqwest::Error) -> SendError {
    let error = error.without_url();
    // Resolving, connecting and TLS come before the request; everything else may come after it was written.
    let unsent = error.is_connect() || error.is_builder();
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    match unsent {
        true => SendError::Unreachable { reason },
        false => SendError::Unconfirmed { reason },
    }
}

/// A pause of so many seconds, none when they are past, at most [`LONGEST_PAUSE`].
pub(crate) fn pause(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs()).min(LONGEST_PAUSE)
}

fn http_date(value: &str) -> Option<DateTime<Utc>> {
    HTTP_DATES
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value.trim(), form).ok())
        .map(|at| at.and_utc())
}

/// One line of at most `limit` characters, without control characters.
fn plain(text: &str, limit: usize) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    match line.char_indices().nth(limit) {
        None => line,
        Some(_) => line.chars().take(limit - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_seconds_or_a_date_on_the_platforms_clock() {
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("-5", Some(0));
        check("Sun, 22 Nov 2026 19:00:30 GMT", Some(30));
        check("Sunday, 22-Nov-26 19:00:30 GMT", Some(30));
        check("Sun Nov 22 19:00:30 2026", Some(30));
        check("Sun, 22 Nov 2026 18:00:00 GMT", Some(0));
        check("99999999999", Some(86_400));
        check("soon", None);
        check("", None);

        #[track_caller]
        fn check(value: &str, seconds: Option<u64>) {
            let reply = reply(&[("date", "Sun, 22 Nov 2026 19:00:00 GMT"), ("retry-after", value)]);
            assert_eq!(reply.retry_after(), seconds.map(Duration::from_secs));
        }
    }

    #[test]
    fn the_clock_offset_is_theirs_minus_ours() {
        let ahead = reply(&[("date", "Sun, 22 Nov 2026 19:00:00 GMT")]);
        assert_eq!(ahead.clock_offset(), Some(3600));
        assert_eq!(reply(&[("date", "yesterday")]).clock_offset(), None);
        assert_eq!(reply(&[]).clock_offset(), None);
    }

    #[test]
    fn secrets_are_taken_out_before_the_text_is_cut() {
        let scrub = Scrub::new(["EAAB-tail".into(), "EAAB".into(), "".into()]);
        assert_eq!(scrub.text("token EAAB-tail and\r\n\x1b EAAB"), "token [secret] and [secret]");

        let at_the_cut = format!("{}EAAB-tail", "ก".repeat(REASON_LIMIT - 5));
        let text = scrub.text(&at_the_cut);
        assert!(!text.contains("EAAB"), "{text}");
        assert_eq!(text.chars().count(), REASON_LIMIT);
        assert!(text.ends_with('…'));

        let odd = Scrub::new(["secret".into(), "x".into(), "[secre".into()]);
        assert_eq!(odd.text("secret x"), "[secret] x");

        let issued = scrub.with(&"t0ken".into());
        assert_eq!(issued.text("t0ken EAAB"), "[secret] [secret]");
    }

    #[test]
    fn every_kind_of_error_is_scrubbed() {
        let scrub = Scrub::new(["s3cret".into()]);
        let reason = || "bad s3cret".to_owned();
        for error in [
            SendError::RateLimited { retry_after: None, reason: reason() },
            SendError::Unreachable { reason: reason() },
            SendError::Unconfirmed { reason: reason() },
            SendError::Duplicate { reason: reason() },
            SendError::Unauthorized { reason: reason() },
            SendError::OutOfBudget { reason: reason() },
            SendError::Rejected { reason: reason() },
        ] {
            assert_eq!(scrub.error(error).reason(), "bad [secret]");
        }
    }

    #[test]
    fn a_token_with_a_line_end_is_refused_without_being_shown() {
        let error = secret_header("Bearer t0ken\n", "access_token").unwrap_err().to_string();
        assert!(error.contains("access_token") && !error.contains("t0ken\n"), "{error}");
        assert_eq!(format!("{:?}", secret_header("Bearer t0ken", "access_token").unwrap()), "Sensitive");
    }

    fn reply(headers: &[(&'static str, &str)]) -> Reply {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).try_into().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Reply::new(StatusCode::OK, headers, Ok(Vec::new()), "2026-11-22T18:00:00Z".parse().unwrap())
    }
}
