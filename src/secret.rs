//! Secrets: values that never reach a log, an error, the audit log or a page.

pub use secrecy::{ExposeSecret, SecretString};

/// A short name for a secret that may be shown: the first 8 hex digits of its SHA-256.
///
/// Enough to see that a token changed, useless for guessing it.
pub fn fingerprint(secret: &SecretString) -> String {
    crate::model::hash::sha256_hex(secret.expose_secret().as_bytes())[..8].to_owned()
}
