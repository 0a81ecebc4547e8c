//! Call: a request as a fake platform sees it, and the answer it gives.
//!
//! A platform here is a plain function from a call to an answer: sockets, faults and time stay outside.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use base64::Engine;
use bytes::Bytes;
use chrono::DateTime;
use chrono::Utc;
use serde_json::Value;

use crate::model::hash;

/// One request to a fake platform, read whole.
#[derive(Debug, Clone)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// The decoded path segments after the platform's prefix.
    pub path: Vec<String>,
    /// The decoded query, in order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The sandbox's time when the call is answered.
    pub at: DateTime<Utc>,
    /// A lying read-back: posts younger than this many milliseconds are left out of lists.
    pub blind: Option<u64>,
}

impl Call {
    /// Splits a path and query as they stand in the request line.
    pub fn new(method: Method, path: &str, query: &str, headers: HeaderMap, body: Bytes) -> Call {
        Call {
            method,
            path: path.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect(),
            query: pairs(query.as_bytes()),
            headers,
            body,
            at: DateTime::UNIX_EPOCH,
            blind: None,
        }
    }

    /// The path segments, for matching.
    pub fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The last value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The token of a Bearer header (any case of the scheme), if it is not empty.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }

    /// User and password of a Basic header.
    pub fn basic(&self) -> Option<(String, String)> {
        let (scheme, code) = self.header("authorization")?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(code.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((percent_decode(user), percent_decode(password)))
    }

    /// Whether the body says it is of this media type.
    pub fn is_of(&self, media_type: &str) -> bool {
        self.header("content-type").is_some_and(|kind| {
            kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
        })
    }

    /// The body as form fields.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body)
    }

    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What makes two calls attempts of one thing: the method, the path and the body.
    pub fn item(&self) -> String {
        let mut bytes = format!("{} {}\n", self.method, self.path.join("/")).into_bytes();
        bytes.extend_from_slice(&self.body);
        hash::sha256_hex(&bytes)
    }
}

/// What a fake platform answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, without `Content-Length`; each name once.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::text(status, "application/json; charset=UTF-8", body.to_string())
    }

    /// An answer of any media type; a status that is none becomes 500.
    pub fn text(status: u16, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static(media_type))],
            body: body.into(),
        }
    }

    /// The answer with one more header; a value that can't stand in a header is left out.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Answer {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            self = self.without(name);
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// The answer without a header.
    pub fn without(mut self, name: &'static str) -> Answer {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The answer, dated by the sandbox's clock.
    pub fn dated(self, at: DateTime<Utc>) -> Answer {
        self.with("date", http_date(at))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Body::from(self.body)).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A moment as HTTP headers write it, to the second.
pub fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The last value under a name.
pub fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Percent-decodes one path segment or form value; what is not UTF-8 becomes replacement characters.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = text.get(at + 1..at + 3).and_then(hash::unhex);
        match (bytes[at], pair) {
            (b'%', Some(pair)) => {
                out.extend(pair);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hash::hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// A number that is always the same for the same text: fake ids come from it.
pub fn number_of(text: &str) -> u64 {
    hash::sha256_hex(text.as_bytes())
        .chars()
        .take(15)
        .fold(0, |sum, digit| sum * 16 + u64::from(digit.to_digit(16).unwrap_or_default()))
}

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(bytes).map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_coding_goes_there_and_back() {
        assert_eq!(percent_encode("ข่าว a/b~"), "%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7%20a%2Fb~");
        assert_eq!(percent_decode(&percent_encode("ข่าว a/b~")), "ข่าว a/b~");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz"), "%zz");
    }

    #[test]
    fn an_http_date_is_in_greenwich_time() {
        let at = DateTime::parse_from_rfc3339("2026-11-22T18:59:52+07:00").unwrap().to_utc();
        assert_eq!(http_date(at), "Sun, 22 Nov 2026 11:59:52 GMT");
    }
}
