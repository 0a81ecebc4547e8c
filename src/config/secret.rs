//! Secret: finds what the file only points to.
//!
//! That is a variable, a file or a systemd credential; a literal secret is refused. No fault shows a value; even a variable's name is shown only if it looks like one,
//! for people do paste the token there.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretSlice;

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::reader::Table;
use crate::config::reader::quote;
use crate::config::schema::Form;
use crate::config::schema::Rule;
use crate::config::schema::Section;
use crate::config::schema::Value;
use crate::config::schema::section;
use crate::model::hash;
use crate::secret::SecretString;

/// The forms a secret may take, for faults and the manual.
pub(super) const FORMS: &str = "{ env = \"NAME\" }, { file = \"path\" } or { credential = \"name\" }";
/// No token or key is longer; a larger file is surely the wrong one.
const LARGEST: u64 = 64 * 1024;
/// Where systemd puts credentials; see `LoadCredential=` in systemd.exec(5).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The fewest bytes from which keys of our own are derived.
const SHORTEST_KEY: usize = 32;

section! {
    /// Where a secret is; exactly one of the three.
    pub struct SecretSource {
        /// The environment variable that holds it.
        env: Option<String> => "NAME" where Rule::Filled,
        /// The file that holds it, not readable for everybody; one newline at its end is left out.
        file: Option<String> => "path" where Rule::Filled,
        /// The systemd credential that holds it.
        credential: Option<String> => "name" where Rule::Filled,
    }
}

impl Value for SecretString {
    const HIDDEN: bool = true;

    fn form() -> Form {
        Form::Plain(format!("a secret: {FORMS}"))
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<SecretString> {
        let bytes = find(reader, at)?;
        let text = match String::from_utf8(trimmed(&bytes).to_vec()) {
            Ok(text) => text,
            Err(_) => return reader.wrong(at, "the secret is no text in UTF-8; is it the right one?"),
        };
        if text != text.trim() || text.contains(char::is_control) {
            return reader
                .wrong(at, "the secret has white space around it or control characters in it; clean it");
        }
        if text.is_empty() {
            return reader.wrong(at, "the secret is empty");
        }
        reader.note(&at.path, shown(text.as_bytes()));
        Some(text.into())
    }
}

/// The bytes from which the node's own keys are derived.
#[derive(Debug, Clone)]
pub struct KeyMaterial(pub SecretSlice<u8>);

impl Value for KeyMaterial {
    const HIDDEN: bool = true;

    fn form() -> Form {
        SecretString::form()
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<KeyMaterial> {
        let mut bytes = find(reader, at)?;
        // 32 random bytes may well end in what looks like a newline.
        if trimmed(&bytes).len() >= SHORTEST_KEY {
            bytes.truncate(trimmed(&bytes).len());
        }
        if bytes.len() < SHORTEST_KEY {
            let text = format!("{} bytes are too few for a key; give {SHORTEST_KEY} or more", bytes.len());
            return reader.wrong(at, text);
        }
        reader.note(&at.path, shown(&bytes));
        Some(KeyMaterial(bytes.into()))
    }
}

/// How a secret is shown: enough to see that it changed.
pub(super) fn shown(secret: &[u8]) -> String {
    format!("secret {}", &hash::sha256_hex(secret)[..8])
}

/// Without one newline at the end, which editors and `echo` leave.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// The bytes a secret key points to, as they stand.
pub(super) fn find(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Vec<u8>> {
    let Some(keys) = at.value.get_ref().as_table() else {
        return reader.wrong(at, format!("a secret doesn't stand in the file; point to it with {FORMS}"));
    };
    let table = Table { path: at.path.clone(), offset: at.value.span().start, keys };
    let known = reader.refuse_unknown(&table, &[SecretSource::KEYS]);
    let source = SecretSource::read_keys(reader, &table)?;
    let found = match (source.env, source.file, source.credential) {
        (Some(name), None, None) => variable(reader, &name),
        (None, Some(path), None) => file(Path::new(&path), FileKind::Plain),
        (None, None, Some(name)) => credential(reader, &name),
        _ if !known => return None,
        _ => Err(format!("exactly one place is wanted: {FORMS}")),
    };
    match found {
        Ok(bytes) => Some(bytes),
        Err(fault) => reader.wrong(at, fault),
    }
}

fn variable(reader: &Reader<'_>, name: &str) -> Result<Vec<u8>, String> {
    let looks_like_a_name = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let shown = if looks_like_a_name && name.len() <= 64 { name } else { "named here" };
    match reader.env.var(name) {
        Some(value) => Ok(value.into_encoded_bytes()),
        None => Err(format!("the environment variable {shown} isn't set; set it, or name another")),
    }
}

fn credential(reader: &Reader<'_>, name: &str) -> Result<Vec<u8>, String> {
    let Some(folder) = reader.env.var(CREDENTIALS) else {
        return Err(format!(
            "${CREDENTIALS} isn't set; start songkhao by systemd with LoadCredential=, or use env or file"
        ));
    };
    if name.contains('/') || name == ".." {
        return Err("a credential is named without a path".to_owned());
    }
    file(&PathBuf::from(folder).join(name), FileKind::Credential)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FileKind {
    /// The operator's: its mode is checked.
    Plain,
    /// systemd's: it sees to the mode, on a file system of its own.
    Credential,
}

fn file(path: &Path, kind: FileKind) -> Result<Vec<u8>, String> {
    let shown = match (kind, path.to_str()) {
        (FileKind::Credential, _) => "the credential".to_owned(),
        // A token pasted here has neither dot nor slash, or is far longer than a path.
        (_, Some(text)) if text.contains(['/', '.']) && text.len() <= 100 => {
            format!("the file {}", quote(text))
        }
        _ => "the file named here".to_owned(),
    };
    let failed = |error: std::io::Error| format!("{shown} can't be read: {}", error.kind());
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(format!("{shown} is larger than {LARGEST} bytes; is it the right one?"));
    }
    if kind == FileKind::Plain && open_to_all(&metadata) {
        return Err(format!("everybody on this machine may open {shown}; run chmod o-rwx on it"));
    }
    fs::read(path).map_err(failed)
}

#[cfg(unix)]
fn open_to_all(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o006 != 0
}

#[cfg(not(unix))]
fn open_to_all(_: &fs::Metadata) -> bool {
    false
}
