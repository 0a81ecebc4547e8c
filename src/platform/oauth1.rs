//! OAuth 1.0a: signing a request with four static secrets, HMAC-SHA1.
//!
//! Spec: RFC 5849, section 3.4. A JSON body is not part of what is signed, only the method, the address and the
//! query; the clock is, so a skewed one is refused with 401.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use chrono::Utc;
use ring::hmac;
use url::Position;
use url::Url;

use crate::secret::ExposeSecret;
use crate::secret::SecretString;

/// The four secrets of a user who let an app act for them.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// The app's key.
    pub(crate) consumer_key: SecretString,
    /// The app's secret.
    pub(crate) consumer_secret: SecretString,
    /// The user's token.
    pub(crate) access_token: SecretString,
    /// The user's token secret.
    pub(crate) access_token_secret: SecretString,
}

impl Signer {
    /// The `Authorization` header for one request; every request needs a `nonce` of its own.
    pub(crate) fn authorization(&self, method: &str, url: &Url, nonce: &str, at: DateTime<Utc>) -> String {
        let timestamp = at.timestamp().to_string();
        let oauth = [
            ("oauth_consumer_key", self.consumer_key.expose_secret()),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", &timestamp),
            ("oauth_token", self.access_token.expose_secret()),
            ("oauth_version", "1.0"),
        ];
        let signature = self.signature(&base_string(method, url, &oauth));
        let mut header = String::from("OAuth ");
        for (name, value) in oauth {
            // Writing to a String cannot fail.
            let _infallible = write!(header, "{name}=\"{}\", ", percent(value));
        }
        format!("{header}oauth_signature=\"{}\"", percent(&signature))
    }

    fn signature(&self, base: &str) -> String {
        let key = format!(
            "{}&{}",
            percent(self.consumer_secret.expose_secret()),
            percent(self.access_token_secret.expose_secret())
        );
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
        STANDARD.encode(hmac::sign(&key, base.as_bytes()))
    }
}

/// What is signed: method, address without query, and all parameters sorted by their encoded form.
fn base_string(method: &str, url: &Url, oauth: &[(&str, &str)]) -> String {
    let query = url.query_pairs().map(|(name, value)| (percent(&name), percent(&value)));
    let oauth = oauth.iter().map(|(name, value)| (percent(name), percent(value)));
    let mut parameters: Vec<_> = query.chain(oauth).collect();
    parameters.sort();
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // The url crate has already lower-cased scheme and host and left out a default port, as the RFC asks.
    let address = &url[..Position::AfterPath];
    format!("{method}&{}&{}", percent(address), percent(&parameters.join("&")))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => {
                // Writing to a String cannot fail.
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of OAuth Core 1.0, appendix A.5; it has no `oauth_signature` of our making.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let signer = signer("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk", "pfkkdhi9sl3r4s00");
        let url = "http://photos.example.net/photos?file=vacation.jpg&size=original".parse().unwrap();
        let at = DateTime::from_timestamp(1_191_242_096, 0).unwrap();

        let header = signer.authorization("GET", &url, "kllo9940pd9333jh", at);

        assert!(header.ends_with("oauth_signature=\"tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D\""), "{header}");
    }

    /// Expected values computed apart from this code, with Python's hmac and urllib.
    #[test]
    fn a_base_path_a_port_and_thai_parameters_are_signed() {
        check("POST", "http://127.0.0.1:9000/x/2/tweets", "X66x+jfvLt1JCBGXNC5P/PlSqEc=");
        check(
            "GET",
            "http://127.0.0.1:9000/x/2/users/7/tweets?max_results=100&start_time=2026-11-22T18%3A59%3A52Z\
             &tweet.fields=created_at%2Centities%2Cnote_tweet&exclude=retweets\
             &q=%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7+%E0%B8%AB%E0%B8%99%E0%B8%B6%E0%B9%88%E0%B8%87%26%3D%2B",
            "C4aQU+565wChqjOT0foNkbaGm3k=",
        );

        #[track_caller]
        fn check(method: &str, url: &str, signature: &str) {
            let at = DateTime::from_timestamp(1_795_374_000, 0).unwrap();
            let url = url.parse().unwrap();
            let header = signer("ck", "c&s", "tk", "t/s").authorization(method, &url, "n0nce", at);
            let expected = format!("oauth_signature=\"{}\"", percent(signature));
            assert!(header.ends_with(&expected), "{header}");
        }
    }

    #[test]
    fn the_header_names_the_token_but_no_secret() {
        let header = signer("ck", "c-secret", "tk", "t-secret").authorization(
            "GET",
            &"https://api.x.com/2/users/me".parse().unwrap(),
            "n",
            DateTime::UNIX_EPOCH,
        );
        assert!(header.starts_with("OAuth oauth_consumer_key=\"ck\", oauth_nonce=\"n\""), "{header}");
        assert!(!header.contains("secret"), "{header}");
    }

    fn signer(consumer_key: &str, consumer_secret: &str, token: &str, token_secret: &str) -> Signer {
        Signer {
            consumer_key: consumer_key.into(),
            consumer_secret: consumer_secret.into(),
            access_token: token.into(),
            access_token_secret: token_secret.into(),
        }
    }
}
