//! Check: says all that is wrong with the configuration at once.

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
use crate::platform::Publisher;

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
    let (sources, accounts, routes) = (config.sources.len(), config.accounts.len(), config.routes.len());
    writeln!(out, "configuration: good ({sources} sources, {accounts} accounts, {routes} routes)")?;
    if online && !probe_all(&config, &mut out).await? {
        return Err(Failure::No);
    }
    Ok(())
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
    for account in &config.accounts {
        match Publisher::new(account, timeouts, None)?.probe(clock::now()).await {
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
