//! Audit: where signed heads of the log are sent.

use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::schema::Form;
use crate::config::schema::Rule;
use crate::config::schema::Value;
use crate::config::schema::section;
use crate::config::secret;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;

section! {
    /// Signed heads of the audit log, sent where whoever runs this machine can't change them: with one head kept
    /// elsewhere, `songkhao audit verify --head` finds any change before it, and a log that was cut or put back.
    pub struct Audit {
        /// A file that each head is appended to, best on another machine's disk. A start looks there whether the
        /// database is as new as its last head; `audit verify` compares with all of them.
        heads_file: Option<String> => "/mnt/elsewhere/songkhao.heads" where Rule::Filled,
        /// An address that each head is posted to, as JSON with a `text` that chat rooms show. One with a password in
        /// it may be a secret: { env = "NAME" } and so on.
        heads_webhook: Option<Webhook> => { env = "SONGKHAO_HEADS_WEBHOOK" },
        /// Whom each head is mailed to.
        heads_mail: Option<Mail>,
        /// How often, if the log has grown.
        heads_every: Duration = "1h" where Rule::Between("1s", "7d"),
    }
}

section! {
    /// Mail with signed heads.
    pub struct Mail {
        /// The server with user and password, as `smtps://USER:PASSWORD@HOST` (TLS), or
        /// `smtp://HOST:25` inside the house.
        smtp: SecretString => { env = "SONGKHAO_SMTP" },
        /// The sender.
        from: String => "songkhao@news.example" where Rule::Filled,
        /// The readers: the editors, better than the operators.
        to: Vec<String> => ["editors@news.example"] where Rule::Filled,
    }
}

/// An address that may hold a password, so that it is never shown whole.
#[derive(Debug, Clone)]
pub struct Webhook(SecretString);

impl Webhook {
    /// The address as it was given.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Value for Webhook {
    const HIDDEN: bool = true;

    fn form() -> Form {
        Form::Plain("an address such as \"https://chat.example/hook\", or a secret".to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Webhook> {
        let address = match at.value.get_ref() {
            DeValue::String(address) => address.clone().into_owned(),
            DeValue::Table(_) => SecretString::read(reader, at)?.expose_secret().to_owned(),
            _ => return reader.mismatch(at, "an address such as \"https://chat.example/hook\""),
        };
        match Url::parse(&address) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                let host = url.host_str().unwrap_or_default();
                let fingerprint = secret::shown(address.as_bytes());
                reader.note(&at.path, format!("{}://{host} ({fingerprint})", url.scheme()));
                Some(Webhook(address.into()))
            }
            _ => reader.wrong(at, "this is no address that begins with https:// or http://".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config;

    #[test]
    fn a_webhooks_address_is_never_shown_whole() {
        let text = "[audit]\nheads_webhook = \"https://chat.example/hook/s3cret\"\nheads_every = \"10m\"\n";
        let config = config::parse("c.toml", text, &BTreeMap::new()).unwrap();
        assert_eq!(config.audit.heads_webhook.unwrap().expose(), "https://chat.example/hook/s3cret");
        let shown = &config.settings["audit.heads_webhook"];
        assert!(shown.starts_with("https://chat.example (secret ") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_showing_it() {
        for wrong in ["\"ftp://chat.example/s3cret\"", "\"s3cret\"", "7"] {
            let text = format!("[audit]\nheads_webhook = {wrong}\n");
            let faults = config::parse("c.toml", &text, &BTreeMap::new()).unwrap_err().to_string();
            assert!(faults.starts_with("c.toml:2:") && !faults.contains("s3cret"), "{faults}");
        }
    }
}
