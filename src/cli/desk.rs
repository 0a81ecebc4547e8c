//! Desk: opens the configuration, the database and the keys.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use ring::rand::SecureRandom;

use crate::cli::Failure;
use crate::cli::faulty;
use crate::clock;
use crate::config;
use crate::config::Config;
use crate::config::env::Process;
use crate::feed::reader::Reader;
use crate::model::audit::Actor;
use crate::model::checkpoint::Signer;
use crate::model::transition::Policy;
use crate::pipeline::Context;
use crate::secret::ExposeSecret;
use crate::secret::Keys;
use crate::store::audit::Stamp;
use crate::store::db::Db;

/// What the audit log is called in its signed heads.
pub const LOG: &str = "songkhao";

/// The open desk.
#[derive(Debug)]
pub struct Desk {
    /// The configuration.
    pub config: Config,
    /// The database.
    pub db: Db,
}

impl Desk {
    /// Reads the configuration and opens the database.
    ///
    /// # Errors
    /// All faults of the configuration, or why the database can't be opened.
    pub async fn open(path: Option<&Path>) -> Result<Desk, Failure> {
        let config = read(path)?;
        let db = open(&config).await?;
        Ok(Desk { config, db })
    }

    /// The stamp of the person at the command line.
    pub fn stamp(&self) -> Stamp {
        let shell =
            std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "shell".into());
        Stamp {
            at: clock::now(),
            node: self.config.node.name.as_str().to_owned(),
            actor: Actor::Shell { shell },
        }
    }

    /// The settings of the delivery rules for a person's decision, which uses none of a platform's traits.
    pub fn policy(&self) -> Policy {
        let delivery = &self.config.delivery;
        Policy {
            retry_base: delivery.retry_base,
            retry_cap: delivery.retry_cap,
            timeout: delivery.timeout,
            confirm_after: delivery.confirm_after,
            recognises_repeats: false,
            can_read_back: false,
            circuit_after: delivery.circuit_after,
        }
    }

    /// Everything the steps need, on the real clock.
    ///
    /// # Errors
    /// When the keys, a client or a template can't be made.
    pub async fn context(self) -> anyhow::Result<Context> {
        let keys = keys(&self.config)?;
        let signer = keys.audit_signer(LOG)?;
        let boot = uuid::Uuid::new_v4().to_string();
        let reader = Reader::of_this_program();
        Context::new(self.db, self.config, boot, Arc::new(clock::now), signer, reader, keys).await
    }
}

/// Reads the configuration from `path`, or from where it is by default.
///
/// # Errors
/// All its faults at once.
pub fn read(path: Option<&Path>) -> Result<Config, Failure> {
    let path = path.map_or_else(found, Path::to_path_buf);
    config::load(&path, &Process).map_err(|faults| faulty(&faults))
}

/// The first configuration file there is; `config.toml` if there is none, so that the fault names it.
fn found() -> PathBuf {
    let here = PathBuf::from("config.toml");
    let system = PathBuf::from("/etc/songkhao/config.toml");
    if !here.exists() && system.exists() { system } else { here }
}

/// Opens the database that the configuration names.
///
/// # Errors
/// Why it can't be opened, with its address but without its password.
pub async fn open(config: &Config) -> anyhow::Result<Db> {
    Db::open(config.database.url.expose(), clock::now())
        .await
        .with_context(|| format!("{} can't be used", config.database.url.shown()))
}

/// The signer of audit heads, from the configured secret or the key file, which is made on first use.
///
/// # Errors
/// When the file can't be read or made, or holds too little.
pub fn signer(config: &Config) -> anyhow::Result<Signer> {
    Ok(keys(config)?.audit_signer(LOG)?)
}

/// The signer of audit heads, of a key that is there already: who only looks must not make a new one.
///
/// # Errors
/// When there is no key file, or it can't be read or holds too little.
pub fn known_signer(config: &Config) -> anyhow::Result<Signer> {
    let path = config.key_file();
    anyhow::ensure!(
        config.keys.secret.is_some() || path.exists(),
        "the key file {} is not there: put it back from its backup, or give the log's public key with --key; a daemon \
         that starts without it goes on under a new key and says so in the log",
        path.display()
    );
    signer(config)
}

/// Our own keys.
///
/// # Errors
/// When the key file can't be read or made, or holds too little.
pub fn keys(config: &Config) -> anyhow::Result<Keys> {
    if let Some(material) = &config.keys.secret {
        return Ok(Keys::derive(material.0.expose_secret())?);
    }
    let path = config.key_file();
    let named = || format!("the key file {}", path.display());
    match fs::read(&path) {
        Ok(secret) => Keys::derive(&secret).with_context(named),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Keys::derive(&make_key_file(&path).with_context(named)?).with_context(named)
        }
        Err(error) => Err(error).with_context(named),
    }
}

/// Makes a key file that only its owner can read, and whose name appears only once it is whole.
fn make_key_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut secret = [0; 48];
    ring::rand::SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| anyhow::anyhow!("the operating system gives no random numbers"))?;
    let secret = crate::model::hash::hex(&secret).into_bytes();
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    // A link fails if another process was faster; then its key counts.
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(fs::read(path)?),
        Err(error) => Err(error.into()),
    }
}
