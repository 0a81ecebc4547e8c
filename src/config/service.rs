//! Service: the daemon itself: node, database, web, delivery, style, keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use secrecy::ExposeSecret;
use toml::de::DeValue;
use url::Url;

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::reader::Table;
use crate::config::reader::quote;
use crate::config::schema::Choice;
use crate::config::schema::Form;
use crate::config::schema::Key;
use crate::config::schema::Rule;
use crate::config::schema::Value;
use crate::config::schema::section;
use crate::config::secret;
use crate::config::secret::KeyMaterial;
use crate::secret::SecretString;

/// The variable that wins over the file's `database.url`.
const DATABASE_VARIABLE: &str = "SONGKHAO_DATABASE_URL";

section! {
    /// This machine, when several share one database.
    pub struct Node {
        /// The node's name; no two live nodes on one database may share it. Default: the host's name.
        name: NodeName => "a" where Rule::Name,
    }
}

/// The name of a node: from the file, or else the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

impl NodeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for NodeName {
    const OPTIONAL: bool = true;

    fn form() -> Form {
        String::form()
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<NodeName> {
        String::read(reader, at).map(NodeName)
    }

    fn absent(reader: &mut Reader<'_>, _: &Table<'_>, _: &'static Key) -> Option<NodeName> {
        Some(NodeName(reader.env.host_name().unwrap_or_else(|| "songkhao".to_owned())))
    }
}

section! {
    /// Where songkhao keeps what it knows.
    pub struct Database {
        /// `sqlite:` with a path, made on first start, or `postgres://…` for any number of nodes. An address with a
        /// password may be a secret: { env = "NAME" } and so on. The variable SONGKHAO_DATABASE_URL wins over this.
        url: DatabaseUrl = "sqlite:songkhao.db",
    }
}

/// The database's address, which may hold a password and is never shown.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The address as it was given.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The address as it may be shown: of PostgreSQL only host and database, and whether the rest changed.
    pub fn shown(&self) -> String {
        let fingerprint = secret::shown(self.expose().as_bytes());
        match Url::parse(self.expose()) {
            _ if self.expose().starts_with("sqlite:") => quote(self.expose()),
            Ok(url) => {
                format!("postgres://{}{} ({fingerprint})", url.host_str().unwrap_or_default(), url.path())
            }
            Err(_) => fingerprint,
        }
    }

    /// The file of an SQLite database; `None` for PostgreSQL and for a database in memory.
    pub fn sqlite_path(&self) -> Option<&Path> {
        let path = self.expose().strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split('?').next().filter(|path| !path.is_empty() && *path != ":memory:")?;
        Some(Path::new(path))
    }
}

impl Value for DatabaseUrl {
    const HIDDEN: bool = true;

    fn form() -> Form {
        Form::Plain("an address such as \"sqlite:songkhao.db\" or \"postgres://…\", or a secret".to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<DatabaseUrl> {
        let (place, url) =
            match (reader.env.var(DATABASE_VARIABLE).filter(|url| !url.is_empty()), at.value.get_ref()) {
                (Some(url), _) => (DATABASE_VARIABLE, url.into_string().unwrap_or_default()),
                (None, DeValue::String(url)) => ("the address", url.clone().into_owned()),
                (None, DeValue::Table(_)) => {
                    ("the address", SecretString::read(reader, at)?.expose_secret().to_owned())
                }
                (None, _) => return reader.mismatch(at, "an address such as \"sqlite:songkhao.db\""),
            };
        let scheme = url.split_once(':').map(|(scheme, rest)| (scheme, !rest.is_empty()));
        match scheme {
            Some(("sqlite" | "postgres" | "postgresql", true)) => {
                let url = DatabaseUrl(url.into());
                reader.note(&at.path, url.shown());
                Some(url)
            }
            _ => reader.wrong(
                at,
                format!("{place} names no database; write \"sqlite:songkhao.db\" or \"postgres://…\""),
            ),
        }
    }
}

section! {
    /// Requests that leave this machine.
    pub struct Http {
        /// Networks inside the house that addresses found in feeds and pages may point to, on every port, such as
        /// "10.0.0.0/8"; none in production. Addresses in this file are trusted as they are.
        allow_private_networks: Vec<IpNet> = [],
    }
}

section! {
    /// The pages, the API and the hooks.
    pub struct Web {
        /// Where to listen; port 0 takes any free one.
        listen: SocketAddr = "127.0.0.1:8080",
        /// How browsers and platforms reach us: links, sign-in and hooks are made from it.
        public_url: Url = "http://localhost:8080",
        /// The networks of reverse proxies whose word on the caller's address is believed, such as "127.0.0.1/32".
        trusted_proxies: Vec<IpNet> = [],
    }
}

section! {
    /// Sending posts to the platforms.
    pub struct Delivery {
        /// How long a connection may take to stand.
        connect_timeout: Duration = "5s" where Rule::Between("1s", "5m"),
        /// How long a whole request may take.
        timeout: Duration = "45s" where Rule::Between("1s", "1h"),
        /// How long a node may work on a delivery before another may think it dead; longer than `timeout`.
        lease: Duration = "2m" where Rule::Between("1s", "24h"),
        /// How long an unconfirmed delivery waits before the platform is asked whether it is there.
        confirm_after: Duration = "90s" where Rule::Between("0s", "24h"),
        /// The first pause after a failure; it doubles with each further one.
        retry_base: Duration = "2s" where Rule::Between("0s", "1h"),
        /// The longest pause between two tries.
        retry_cap: Duration = "15m" where Rule::Between("1s", "24h"),
        /// After so many failures in a row an account is left alone, and tried with a single post.
        circuit_after: u32 = 5 where Rule::Between("1", "1000"),
    }
}

section! {
    /// House style of dates, numbers and hashtags.
    pub struct Style {
        /// Years in dates: "be" (พ.ศ. 2569) or "ce" (ค.ศ. 2026).
        era: Era = "be",
        /// Digits: "arabic" (1 2 3) or "thai" (๑ ๒ ๓).
        digits: Digits = "arabic",
        /// The most hashtags a post may carry; 0: none.
        hashtags: u32 = 3 where Rule::Between("0", "30"),
    }
}

/// How years are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// พ.ศ.: the Buddhist era, 543 ahead.
    Be,
    /// ค.ศ.: the common era.
    Ce,
}

impl Choice for Era {
    const WORDS: &'static [(&'static str, Era)] = &[("be", Era::Be), ("ce", Era::Ce)];
}

/// Which digits numbers are written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// 1 2 3
    Arabic,
    /// ๑ ๒ ๓
    Thai,
}

impl Choice for Digits {
    const WORDS: &'static [(&'static str, Digits)] = &[("arabic", Digits::Arabic), ("thai", Digits::Thai)];
}

section! {
    /// Keys of our own, for stored tokens and the signature of the audit log; all are derived from one secret.
    pub struct Keys {
        /// 32 bytes or more. Left out, a file `songkhao.key` beside the SQLite database is used and made on first
        /// start. Every node on one database needs the same. Losing it means connecting accounts again.
        secret: Option<KeyMaterial> => { credential = "songkhao-key" },
    }
}

/// Where the key file is when `[keys] secret` isn't given: beside the SQLite database, else in the working directory.
pub fn key_file(database: &DatabaseUrl) -> PathBuf {
    const NAME: &str = "songkhao.key";
    database.sqlite_path().map_or_else(|| PathBuf::from(NAME), |path| path.with_file_name(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_stands_beside_the_database() {
        for (url, expected) in [
            ("sqlite:songkhao.db", "songkhao.key"),
            ("sqlite:/var/lib/songkhao/a.db?mode=rwc", "/var/lib/songkhao/songkhao.key"),
            ("sqlite:///var/lib/a.db", "/var/lib/songkhao.key"),
            ("sqlite://data/a.db", "data/songkhao.key"),
            ("sqlite::memory:", "songkhao.key"),
            ("postgres://db.example/songkhao", "songkhao.key"),
        ] {
            assert_eq!(key_file(&DatabaseUrl(url.to_owned().into())), Path::new(expected), "{url}");
        }
    }
}
