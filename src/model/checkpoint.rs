//! Checkpoint: a signed head, which pins the whole log down in five lines.
//!
//! Spec: C2SP [tlog-checkpoint](https://c2sp.org/tlog-checkpoint) in a
//! [signed-note](https://c2sp.org/signed-note), one Ed25519 signature (RFC 8032). Reading is
//! strict: each head has exactly one byte form, so that no change of a head goes unseen.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::model::hash;
use crate::model::merkle::Hash;

/// The signature type byte of Ed25519 in C2SP signed-note.
const ED25519_TYPE: u8 = 0x01;

/// What a head says: the log it is of, how many entries, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The log's name, also the name of the key that signs it.
    pub origin: String,
    /// How many entries the tree has.
    pub size: u64,
    /// The root over them, by [`crate::model::merkle`].
    pub root: Hash,
}

/// A head with its signature, read but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// What is claimed. Believe it only after [`SignedHead::verify`].
    pub head: Head,
    key_id: [u8; 4],
    signature: [u8; 64],
}

/// Why a head or a key can't be read or believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The note's text is not as the format wants it.
    #[error("line {line} of the signed head: {what}")]
    Malformed {
        /// The line in the note, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The public key is not in the form `name+id+base64`.
    #[error(
        "the public key {key:?} {what}; write it as the export's last line has it: name+8 hex digits+base64"
    )]
    Key {
        /// The key as given.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log's name can't stand in a note.
    #[error(
        "{0:?} can't name a log: a name is not empty and has no white space, no control character and none of + \" \\"
    )]
    Name(String),
    /// The signing seed has the wrong length.
    #[error("the signing seed has {0} bytes; Ed25519 wants 32")]
    Seed(usize),
    /// Another log's head, or another key's.
    #[error("the head is signed by {found}, not by {wanted}: another log, or the key was changed")]
    OtherKey {
        /// Name and id of the key that signed.
        found: String,
        /// Name and id of the key that was expected.
        wanted: String,
    },
    /// The signature doesn't fit the text.
    #[error("the signature of the head by {0} is false: the head or the signature was changed")]
    Forged(String),
}

impl Head {
    /// The text that is signed: origin, size, root in base64, each ended by a line feed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

impl SignedHead {
    /// Whether `key` signed this head.
    pub fn verify(&self, key: &PublicKey) -> Result<&Head, HeadError> {
        if self.head.origin != key.name || self.key_id != key.id() {
            return Err(HeadError::OtherKey { found: self.signer(), wanted: key.short() });
        }
        UnparsedPublicKey::new(&ED25519, &key.bytes)
            .verify(self.head.text().as_bytes(), &self.signature)
            .map_err(|_| HeadError::Forged(key.short()))?;
        Ok(&self.head)
    }

    /// Name and id of the key that claims to have signed.
    pub fn signer(&self) -> String {
        format!("{}+{}", self.head.origin, hash::hex(&self.key_id))
    }
}

/// The note: what is stored, sent outside and exported.
impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = STANDARD.encode([&self.key_id[..], &self.signature].concat());
        write!(f, "{}\n\u{2014} {} {signature}\n", self.head.text(), self.head.origin)
    }
}

/// Reads a note; says which line is wrong and why.
impl FromStr for SignedHead {
    type Err = HeadError;

    fn from_str(note: &str) -> Result<Self, Self::Err> {
        let wrong = |line, what| HeadError::Malformed { line, what };
        if note.contains('\r') {
            return Err(wrong(
                1,
                "there is a carriage return; keep the head as it was sent, with line feeds only",
            ));
        }
        let lines: Vec<&str> = note.split('\n').collect();
        let &[origin, size, root, blank, signature, end] = lines.as_slice() else {
            let what = "a head has five lines (name, size, root, an empty line, one signature), each ended by a line feed";
            return Err(wrong(lines.len(), what));
        };
        if !is_name(origin) {
            return Err(wrong(1, "this can't name a log"));
        }
        let size = decimal(size.as_bytes()).ok_or(wrong(2, "the size is not a plain decimal number"))?;
        let root = exact::<32>(root).ok_or(wrong(3, "the root is not 32 bytes in base64"))?;
        if !blank.is_empty() {
            return Err(wrong(4, "the text must end here with an empty line"));
        }
        let (name, signature) = signature
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or(wrong(5, "a signature is written: em dash, space, name, space, base64"))?;
        if name != origin {
            return Err(wrong(5, "the signature's name is not the log's"));
        }
        let signature =
            exact::<68>(signature).ok_or(wrong(5, "the signature is not 4 + 64 bytes in base64"))?;
        if !end.is_empty() {
            return Err(wrong(6, "something follows the signature"));
        }
        let (mut key_id, mut bytes) = ([0; 4], [0; 64]);
        key_id.copy_from_slice(&signature[..4]);
        bytes.copy_from_slice(&signature[4..]);
        Ok(SignedHead { head: Head { origin: origin.to_owned(), size, root }, key_id, signature: bytes })
    }
}

/// Reads any number of notes, one behind the other, as a file that each new head is appended to holds them.
///
/// # Errors
/// The first fault; its line counts from the beginning of `text`.
pub fn parse_heads(text: &str) -> Result<Vec<SignedHead>, HeadError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let notes = lines.chunks(NOTE_LINES).enumerate();
    let parsed = notes.map(|(number, note)| {
        note.concat().parse().map_err(|error| match error {
            HeadError::Malformed { line, what } => {
                HeadError::Malformed { line: number * NOTE_LINES + line, what }
            }
            other => other,
        })
    });
    let heads: Vec<SignedHead> = parsed.collect::<Result<_, HeadError>>()?;
    if heads.is_empty() {
        return Err(HeadError::Malformed { line: 1, what: "there is no head here" });
    }
    Ok(heads)
}

/// How many lines a note has.
const NOTE_LINES: usize = 5;

/// Reads `note` and verifies it with `key`.
pub fn verify(note: &str, key: &PublicKey) -> Result<Head, HeadError> {
    let signed: SignedHead = note.parse()?;
    signed.verify(key)?;
    Ok(signed.head)
}

/// The key that heads are verified with, shown as signed-note's vkey: `name+id+base64(0x01 ‖ key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    bytes: [u8; 32],
}

impl PublicKey {
    /// The log's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and id, for messages.
    pub fn short(&self) -> String {
        format!("{}+{}", self.name, hash::hex(&self.id()))
    }

    /// The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key).
    pub fn id(&self) -> [u8; 4] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.name.as_bytes());
        context.update(&[b'\n', ED25519_TYPE]);
        context.update(&self.bytes);
        let mut id = [0; 4];
        id.copy_from_slice(&context.finish().as_ref()[..4]);
        id
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ED25519_TYPE][..], &self.bytes].concat();
        write!(f, "{}+{}", self.short(), STANDARD.encode(typed))
    }
}

impl FromStr for PublicKey {
    type Err = HeadError;

    fn from_str(vkey: &str) -> Result<Self, Self::Err> {
        let wrong = |what| HeadError::Key { key: vkey.to_owned(), what };
        // Base64 may hold a +, a name and an id can't.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(typed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("has not three parts joined by +"));
        };
        if !is_name(name) {
            return Err(wrong("has no proper name"));
        }
        let typed = exact::<33>(typed).ok_or_else(|| wrong("doesn't end with 33 bytes in base64"))?;
        if typed[0] != ED25519_TYPE {
            return Err(wrong("is not of type Ed25519"));
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&typed[1..]);
        let key = PublicKey { name: name.to_owned(), bytes };
        if hash::hex(&key.id()) != id {
            return Err(wrong("has an id that is not its own: a part of it was changed"));
        }
        Ok(key)
    }
}

/// The key that signs heads.
pub struct Signer {
    key: PublicKey,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// The signer of the log `name` from a secret seed of 32 bytes, always the same key for the same seed.
    pub fn from_secret(name: &str, seed: &[u8]) -> Result<Signer, HeadError> {
        if !is_name(name) {
            return Err(HeadError::Name(name.to_owned()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| HeadError::Seed(seed.len()))?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(pair.public_key().as_ref());
        Ok(Signer { key: PublicKey { name: name.to_owned(), bytes }, pair })
    }

    /// The key that verifies.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Signs the head of a tree.
    pub fn sign(&self, size: u64, root: Hash) -> SignedHead {
        let head = Head { origin: self.key.name.clone(), size, root };
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(head.text().as_bytes()).as_ref());
        SignedHead { head, key_id: self.key.id(), signature }
    }
}

/// Shows the public key only.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.key.short()).finish()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '+' | '"' | '\\'))
}

/// A decimal number in its one shortest form: no sign, no leading zero.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) || !digits.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Exactly `N` bytes in padded base64; stray low bits in the last digit are refused too.
fn exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::merkle;

    fn signer() -> Signer {
        Signer::from_secret("news.example/audit", &[7; 32]).unwrap()
    }

    #[test]
    fn a_signed_head_reads_back_and_verifies() {
        let note = signer().sign(42, merkle::leaf_hash(b"x")).to_string();
        let lines: Vec<&str> = note.lines().collect();
        assert_eq!(lines[..2], ["news.example/audit", "42"]);
        assert_eq!(lines[3], "");
        assert!(lines[4].starts_with("\u{2014} news.example/audit "), "{note}");
        let head = verify(&note, signer().public_key()).unwrap();
        assert_eq!((head.size, head.root), (42, merkle::leaf_hash(b"x")));
        assert_eq!(note.parse::<SignedHead>().unwrap().to_string(), note);
    }

    #[test]
    fn a_key_of_rfc_8032_signs_as_the_rfc_says() {
        // RFC 8032 section 7.1, test 1: the public key of this seed.
        let seed = hash::unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let signer = Signer::from_secret("rfc8032", &seed).unwrap();
        assert_eq!(
            hash::hex(&signer.key.bytes),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }

    #[test]
    fn a_public_key_reads_back_and_no_part_of_it_can_be_changed() {
        let vkey = signer().public_key().to_string();
        assert_eq!(&vkey.parse::<PublicKey>().unwrap(), signer().public_key());
        for at in 0..vkey.len() {
            let mut bytes = vkey.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(changed.parse::<PublicKey>().is_err(), "{changed}");
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&str) -> String, wanted: &str) {
        let note = signer().sign(42, merkle::leaf_hash(b"x")).to_string();
        let changed = change(&note);
        assert_ne!(changed, note);
        let error = verify(&changed, signer().public_key()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }

    #[test]
    fn each_fault_of_a_head_is_named() {
        check(|note| note.replace('\n', "\r\n"), "carriage return");
        check(|note| note.replace("42", "042"), "line 2 of the signed head: the size");
        check(|note| note.replace("42", "+42"), "line 2");
        check(|note| note.replace("42", "99999999999999999999"), "line 2");
        check(|note| note.replace("42", "43"), "is false");
        check(|note| note.replace("=\n\n", "\n\n"), "line 3");
        check(|note| note.trim_end().to_owned(), "five lines");
        check(|note| format!("{note}\n"), "five lines");
        check(|note| note.replace("\n\n", "\nextension\n\n"), "five lines");
        check(|note| note.replace('\u{2014}', "-"), "line 5");
        check(|note| note.replacen("news", "olds", 1), "not the log's");
        check(|note| note.replace("news", "olds"), "signed by olds.example/audit");
        check(|note| note.replace(".example", " example"), "line 1");
    }

    #[test]
    fn another_key_of_the_same_name_is_named() {
        let other = Signer::from_secret("news.example/audit", &[8; 32]).unwrap();
        let note = other.sign(42, merkle::leaf_hash(b"x")).to_string();
        let error = verify(&note, signer().public_key()).unwrap_err();
        assert!(matches!(error, HeadError::OtherKey { .. }), "{error}");
    }

    #[test]
    fn a_signer_wants_a_name_and_32_bytes() {
        assert_eq!(Signer::from_secret("a b", &[7; 32]).unwrap_err(), HeadError::Name("a b".to_owned()));
        assert_eq!(Signer::from_secret("", &[7; 32]).unwrap_err(), HeadError::Name(String::new()));
        assert_eq!(Signer::from_secret("a", &[7; 31]).unwrap_err(), HeadError::Seed(31));
        assert!(!format!("{:?}", signer()).contains("seed"));
    }
}
