//! Config: what the operator writes in `config.toml`, checked whole.
//!
//! Nothing starts with a fault in it. Every one is told at once, as `FILE:LINE:COL: KEY: text` (see [`fault::Fault`] for KEY), and none shows a
//! secret. The keys, their defaults and their meaning are declared with the structs; see [`schema`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use toml::de::DeTable;

pub mod env;
pub mod fault;
pub mod schema;
pub mod reader;
pub mod value;
pub mod secret;
pub mod service;
pub mod audit;
pub mod source;
pub mod account;
pub mod template;
pub mod route;
pub mod check;
pub mod manual;

use crate::config::account::Account;
use crate::config::audit::Audit;
use crate::config::env::Env;
use crate::config::fault::Faults;
use crate::config::reader::Reader;
use crate::config::reader::Table;
use crate::config::route::Route;
use crate::config::schema::Section;
use crate::config::schema::section;
use crate::config::service::Database;
use crate::config::service::Delivery;
use crate::config::service::Http;
use crate::config::service::Keys;
use crate::config::service::Node;
use crate::config::service::Style;
use crate::config::service::Web;
use crate::config::source::Source;

section! {
    /// Everything the operator has set.
    pub struct Config {
        /// The time zone of schedules, quiet hours and pages.
        timezone: Tz = "Asia/Bangkok",
        /// This machine, when several share one database.
        node: Node,
        /// Where songkhao keeps what it knows.
        database: Database,
        /// Requests that leave this machine.
        http: Http,
        /// The pages, the API and the hooks.
        web: Web,
        /// Sending posts to the platforms.
        delivery: Delivery,
        /// House style.
        style: Style,
        /// Keys of our own.
        keys: Keys,
        /// Signed heads of the audit log, sent elsewhere.
        audit: Audit,
        /// What is watched.
        sources "source": Vec<Source> = [],
        /// Where to post.
        accounts "account": Vec<Account> = [],
        /// Which articles go where, and when.
        routes "route": Vec<Route> = [],
        ..
        /// Every setting in force as text, by its path, defaults included; secrets as fingerprints.
        settings: BTreeMap<String, String>,
    }
}

impl Default for Config {
    #[expect(
        clippy::expect_used,
        reason = "depends on our own defaults only; `every_default_is_legal` reads them"
    )]
    fn default() -> Config {
        parse("config.toml", "", &BTreeMap::new()).expect("the defaults are legal")
    }
}

impl Config {
    /// The file with the node's own keys when `[keys] secret` isn't given: beside the SQLite database, or else in the
    /// working directory. It may not exist yet.
    pub fn key_file(&self) -> PathBuf {
        service::key_file(&self.database.url)
    }

    /// What is legal and yet seems unfinished: nothing to watch, nowhere to post, parts that no route uses.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (section, empty) in [
            ("source", self.sources.is_empty()),
            ("account", self.accounts.is_empty()),
            ("route", self.routes.is_empty()),
        ] {
            if empty {
                remarks.push(format!("no [[{section}]] is given, so nothing will be posted"));
            }
        }
        for source in &self.sources {
            if !self.routes.iter().any(|route| route.sources.contains(&source.name)) {
                remarks.push(format!("source {} is in no route, so its articles go nowhere", source.name));
            }
        }
        for account in &self.accounts {
            if !self.routes.iter().any(|route| route.accounts.contains(&account.name)) {
                remarks.push(format!("account {} is in no route, so no articles reach it", account.name));
            }
        }
        remarks
    }
}

/// What changed from the settings `old` to `new`, a line each, in the order of the keys; of secrets only that they did.
pub fn difference(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let line = |key: &String| match (old.get(key), new.get(key)) {
        (Some(before), Some(after)) if before != after => Some(format!("{key}: {before} → {after}")),
        (Some(before), None) => Some(format!("{key}: {before} → not set")),
        (None, Some(after)) => Some(format!("{key}: not set → {after}")),
        _ => None,
    };
    keys.into_iter().filter_map(line).collect()
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// All faults of the file, in its order.
pub fn load(path: &Path, env: &dyn Env) -> Result<Config, Faults> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::NotFound => "; copy config.toml.example there, or name another file with --config",
            ErrorKind::InvalidData => "; save it as UTF-8",
            _ => "",
        };
        Faults::unreadable(&name, format!("can't be read: {}{cure}", error.kind()))
    })?;
    parse(&name, &text, env)
}

/// Reads and checks `text`; faults call it `file_name`.
///
/// # Errors
/// All faults, in the order of the text. Where it isn't TOML, only those are told.
pub fn parse(file_name: &str, text: &str, env: &dyn Env) -> Result<Config, Faults> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(Faults::syntax(file_name, text, &errors));
    }
    let mut reader = Reader::new(file_name, text, env);
    let table = Table { path: String::new(), offset: 0, keys: root.get_ref() };
    reader.refuse_unknown(&table, &[Config::KEYS]);
    let config = Config::read_keys(&mut reader, &table);
    check::check(&mut reader, table.keys);
    match (reader.finish()?, config) {
        (settings, Some(config)) => Ok(Config { settings, ..config }),
        // Whoever answers `None` has told a fault, so `finish` was an error; and if not, no half-read file starts.
        (_, None) => Err(Faults::unreadable(
            file_name,
            "a value was refused without a reason; please report this".to_owned(),
        )),
    }
}
