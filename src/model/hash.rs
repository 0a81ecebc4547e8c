//! Hash: shows SHA-256 in lower-case hex.
//!
//! The form that rows, logs and the audit log show.

use std::fmt;
use std::fmt::Write as _;
use std::io;

/// SHA-256 of `bytes`, as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// SHA-256 of bytes that come one after another: write them to it.
#[derive(Clone)]
pub struct Sha256(ring::digest::Context);

impl Sha256 {
    /// The hash of all that was written, as 64 lower-case hex digits.
    pub fn hex(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha256").finish_non_exhaustive()
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Sha256(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `bytes` as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _infallible = write!(out, "{byte:02x}");
    }
    out
}

/// The bytes that hex digits of either case stand for; `None` for anything else.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn hex_and_back_is_the_same() {
        assert_eq!(unhex(&hex(&[0, 127, 255])), Some(vec![0, 127, 255]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("+1"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(sha256_hex(b"")[..8], *"e3b0c442");
        let mut digest = Sha256::default();
        digest.write_all("ข่าว".as_bytes()).unwrap();
        digest.write_all(b"!").unwrap();
        assert_eq!(digest.hex(), sha256_hex("ข่าว!".as_bytes()));
    }
}
