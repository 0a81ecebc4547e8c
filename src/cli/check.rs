//! Check: says all that is wrong with the configuration at once.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use crate::cli::Failure;
use crate::cli::desk;
use crate::clock;
use crate::config::Config;
use crate::feed::parse;
use crate::http::Timeouts;
use crate::http::fetch::Fetcher;
use crate::http::fetch::Limits;
use crate::http::fetch::Trust;
use crate::http::guard::Guard;
use crate::model::source::Memory;
use crate::pipeline::promote;
use crate::platform::Publisher;
use crate::secret::SecretString;
use crate::store::db;
use crate::store::db::Db;
use crate::store::token;
use crate::store::token::Token;

/// `songkhao check`.
///
/// # Errors
/// The faults, exit 2; what does not answer as it should, exit 1.
pub async fn check(path: Option<&Path>, online: bool) -> Result<(), Failure> {
    let config = desk::read(path)?;
    let mut out = std::io::stdout().lock();
    for remark in config.remarks() {
        writeln!(out, "note: {remark}")?;
    }
    for remark in orphans(&config).await {
        writeln!(out, "note: {remark}")?;
    }
    let (sources, accounts, routes) = (config.sources.len(), config.accounts.len(), config.routes.len());
    writeln!(out, "configuration: good ({sources} sources, {accounts} accounts, {routes} routes)")?;
    if online && !probe_all(&config, &mut out).await? {
        return Err(Failure::No);
    }
    Ok(())
}

/// Promotions that name accounts which this configuration doesn't know; a database that isn't there has none.
async fn orphans(config: &Config) -> Vec<String> {
    let url = &config.database.url;
    if url.sqlite_path().is_some_and(|path| !path.exists()) {
        return Vec::new();
    }
    let found: db::Result<Vec<(String, String)>> = async {
        let Some(db) = Db::look(url.expose()).await? else { return Ok(Vec::new()) };
        let found = promote::orphans(&db, config).await;
        db.close().await;
        found
    }
    .await;
    match found {
        Ok(orphans) => orphans
            .into_iter()
            .map(|(name, account)| {
                format!(
                    "promotion {name} posts to {account}, which is no account any more; nothing of it goes out there"
                )
            })
            .collect(),
        Err(error) => vec![format!("whether promotions fit the accounts can't be told: {error}")],
    }
}

async fn probe_all(config: &Config, out: &mut impl Write) -> Result<bool, Failure> {
    let timeouts = Timeouts { connect: config.delivery.connect_timeout, total: config.delivery.timeout };
    let fetcher = Fetcher::new(timeouts, Guard::new(config.http.allow_private_networks.clone()))?;
    let mut good = true;
    for source in &config.sources {
        let fetched = fetcher.get(&source.url, Trust::Operator, &Memory::default(), Limits::FEED).await;
        let verdict = fetched.map_err(|error| error.to_string()).and_then(|fetched| {
            parse::read(
                &fetched.body,
                fetched.content_type.as_deref(),
                Some(&fetched.final_url),
                clock::now(),
            )
            .map_err(|error| error.to_string())
        });
        match verdict {
            Ok(feed) => {
                let problems = if feed.problems.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", feed.problems.join("; "))
                };
                writeln!(out, "source {}: good, {} articles{problems}", source.name, feed.entries.len())?;
            }
            Err(reason) => {
                good = false;
                writeln!(out, "source {}: {reason}", source.name)?;
            }
        }
    }
    let stored = stored(config).await?;
    for account in &config.accounts {
        let access = match stored.get(&account.name) {
            Some(Err(reason)) => {
                good = false;
                writeln!(out, "account {}: {reason}", account.name)?;
                continue;
            }
            Some(Ok(access)) => Some(access),
            None => None,
        };
        match Publisher::new(account, timeouts, access)?.probe(clock::now()).await {
            Ok(health) => {
                let details: Vec<String> =
                    health.details.iter().map(|(name, value)| format!("{name} {value}")).collect();
                writeln!(out, "account {}: good, {} {}", account.name, health.name, details.join(", "))?;
            }
            Err(error) => {
                good = false;
                writeln!(out, "account {}: {error}", account.name)?;
            }
        }
    }
    Ok(good)
}

/// The stored access tokens by account, or why one can't be used. A database that isn't there yet holds none, and is
/// not made; nothing is renewed.
async fn stored(config: &Config) -> Result<HashMap<String, Result<SecretString, String>>, Failure> {
    if config.database.url.sqlite_path().is_some_and(|path| !path.exists()) {
        return Ok(HashMap::new());
    }
    let db = desk::open(config).await?;
    let tokens = token::list(&db).await?;
    db.close().await;
    if tokens.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = desk::keys(config)?;
    let access = |token: &Token| match token.facts.is_usable(clock::now()) {
        true => token.access(&keys).map_err(|error| error.to_string()),
        false => Err(token.reason.clone().unwrap_or_else(|| "its access token ended".to_owned())),
    };
    Ok(tokens.iter().map(|token| (token.account.clone(), access(token))).collect())
}
