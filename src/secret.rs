//! Secrets: values that never reach a log, an error, the audit log or a page.
//!
//! The operator keeps one secret, `[keys] secret`. Every key of our own is derived from it by
//! HKDF-SHA256 (RFC 5869) with a label of its own, so that none tells anything of another.

use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
pub use secrecy::{ExposeSecret, SecretString};

use crate::model::checkpoint::{HeadError, Signer};

/// A short name for a secret that may be shown: the first 8 hex digits of its SHA-256.
///
/// Enough to see that a token changed, useless for guessing it.
pub fn fingerprint(secret: &SecretString) -> String {
    crate::model::hash::sha256_hex(secret.expose_secret().as_bytes())[..8].to_owned()
}

/// The fewest bytes of `[keys] secret`: as many as the keys derived from it have.
pub const SHORTEST_SECRET: usize = 32;

/// The salt of the derivation. Changing it, or a label, changes all keys.
const SALT: &[u8] = b"songkhao keys v1";
const AUDIT_SIGNING: &[u8] = b"audit signing ed25519";
const TOKEN_ENCRYPTION: &[u8] = b"token encryption chacha20-poly1305";

/// Our own keys: for signing audit heads and for keeping tokens in the database.
pub struct Keys {
    audit_seed: Derived,
    token_key: LessSafeKey,
}

/// What a platform issued to act for an account.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The access token.
    pub access: SecretString,
    /// The token by which it is renewed, if there is one.
    pub refresh: Option<SecretString>,
    /// What it allows, in the platform's words.
    pub scopes: Vec<String>,
    /// How long the access token lives from the request on; `None` where nobody said.
    pub life: Option<Duration>,
}

/// Why a key can't be had or used. Says nothing of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The operator's secret is too short to protect anything.
    #[error(
        "[keys] secret has {0} bytes; it takes {SHORTEST_SECRET} or more, for instance from `openssl rand -base64 48`"
    )]
    Short(usize),
    /// What is stored can't be opened.
    #[error(
        "a stored token can't be decrypted: [keys] secret is not the one it was stored with, or the row was changed"
    )]
    Sealed,
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

impl Keys {
    /// Derives the keys from the operator's secret, byte for byte as given: a line feed at its end counts.
    pub fn derive(secret: &[u8]) -> Result<Keys, KeyError> {
        if secret.len() < SHORTEST_SECRET {
            return Err(KeyError::Short(secret.len()));
        }
        Ok(Keys {
            audit_seed: derive(secret, AUDIT_SIGNING),
            token_key: token_key(&derive(secret, TOKEN_ENCRYPTION)),
        })
    }

    /// The signer of the audit log called `name`.
    pub fn audit_signer(&self, name: &str) -> Result<Signer, HeadError> {
        Signer::from_secret(name, &self.audit_seed.0)
    }

    /// Encrypts a token for the database, bound to the account and kind that `context` names.
    ///
    /// The answer is 12 bytes of random nonce, the ciphertext and 16 bytes of tag.
    pub fn seal(&self, context: &str, token: &SecretString) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| KeyError::Random)?;
        let mut sealed = token.expose_secret().as_bytes().to_vec();
        let (unique, context) = (Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()));
        // Fails only above 256 GiB.
        self.token_key
            .seal_in_place_append_tag(unique, context, &mut sealed)
            .map_err(|_| KeyError::Sealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts what [`Keys::seal`] made for the same `context`.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<SecretString, KeyError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(KeyError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Sealed)?;
        let mut token = rest.to_vec();
        let length = self
            .token_key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut token)
            .map_err(|_| KeyError::Sealed)?
            .len();
        token.truncate(length);
        String::from_utf8(token).map(SecretString::from).map_err(|_| KeyError::Sealed)
    }
}

/// Shows nothing.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// 32 derived bytes.
struct Derived([u8; 32]);

impl KeyType for Derived {
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[expect(clippy::expect_used, reason = "HKDF-SHA256 fails only above 8,160 bytes, and a Derived has 32")]
fn derive(secret: &[u8], label: &[u8]) -> Derived {
    let mut derived = Derived([0; 32]);
    let extracted = Salt::new(HKDF_SHA256, SALT).extract(secret);
    extracted
        .expand(&[label], Derived([0; 32]))
        .and_then(|material| material.fill(&mut derived.0))
        .expect("32 bytes of key material");
    derived
}

#[expect(clippy::expect_used, reason = "ChaCha20-Poly1305 takes any key of 32 bytes")]
fn token_key(key: &Derived) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key.0).expect("a key of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hash;

    const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

    fn keys() -> Keys {
        Keys::derive(SECRET).unwrap()
    }

    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        // Computed with Python's hmac module: HKDF-SHA256, salt and labels as above.
        assert_eq!(
            hash::hex(&keys().audit_seed.0),
            "8df32587c649a24781f317c134f83dd5493e3a22f0031e43468091631db8918d"
        );
        assert_eq!(
            hash::hex(&derive(SECRET, TOKEN_ENCRYPTION).0),
            "666d61beb02a5a6c07abc28ecb67e71ee54c6e253f1bbcdab08f50a56e3e4908"
        );
    }

    #[test]
    fn a_short_secret_is_refused_with_the_cure() {
        let error = Keys::derive(&SECRET[..31]).unwrap_err();
        assert_eq!(error, KeyError::Short(31));
        assert!(error.to_string().contains("32 or more"), "{error}");
        assert!(Keys::derive(&[b'x'; 5000]).is_ok());
    }

    #[test]
    fn the_same_secret_signs_with_the_same_key_and_another_with_another() {
        let key =
            |secret: &[u8]| Keys::derive(secret).unwrap().audit_signer("a").unwrap().public_key().to_string();
        assert_eq!(key(SECRET), key(SECRET));
        assert_ne!(key(SECRET), key(&[7; 32]));
        assert_ne!(key(SECRET), key(&[SECRET, &b"\n"[..]].concat()));
    }

    #[test]
    fn a_token_opens_only_whole_and_in_its_own_place() {
        let token = SecretString::from("EAAB-โทเคน");
        let sealed = keys().seal("inn-facebook/access", &token).unwrap();
        assert_ne!(sealed, keys().seal("inn-facebook/access", &token).unwrap());
        let opened = keys().open("inn-facebook/access", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), token.expose_secret());
        for (keys, context, sealed) in [
            (keys(), "inn-facebook/refresh", sealed.clone()),
            (Keys::derive(&[7; 32]).unwrap(), "inn-facebook/access", sealed.clone()),
            (keys(), "inn-facebook/access", sealed[..sealed.len() - 1].to_vec()),
            (keys(), "inn-facebook/access", sealed[..11].to_vec()),
            (keys(), "inn-facebook/access", [&sealed[..20], &[sealed[20] ^ 1], &sealed[21..]].concat()),
        ] {
            assert_eq!(keys.open(context, &sealed).unwrap_err(), KeyError::Sealed);
        }
    }

    #[test]
    fn keys_show_nothing_of_themselves() {
        assert_eq!(format!("{:?}", keys()), "Keys(…)");
    }
}
