//! Preview: shows what each account would get for an article.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use crate::cli::Failure;
use crate::cli::desk;
use crate::cli::source;
use crate::clock;
use crate::config;
use crate::config::Config;
use crate::config::account::Account;
use crate::config::route::Route;
use crate::model::account::Platform;
use crate::model::budget;
use crate::model::post::Payload;
use crate::pipeline::compose;
use crate::pipeline::summarize;
use crate::pipeline::template::Wording;
use crate::text::length;
use crate::text::length::Length;

/// One account on each platform, for a preview without a configuration.
const PLAIN: &str = r#"
[[source]]
name = "preview"
url = "http://localhost/feed"
[[account]]
name = "facebook"
platform = "facebook"
page_id = "1"
access_token = { env = "NONE" }
[[account]]
name = "x"
platform = "x"
oauth1 = { consumer_key = { env = "NONE" }, consumer_secret = { env = "NONE" }, access_token = { env = "NONE" }, access_token_secret = { env = "NONE" } }
[[account]]
name = "line"
platform = "line"
channel_id = "1"
channel_secret = { env = "NONE" }
[[route]]
name = "preview"
sources = ["preview"]
accounts = ["facebook", "x", "line"]
"#;

/// `songkhao preview`.
///
/// # Errors
/// When nothing can be read from `target` (exit 1), or an account or the configuration is wrong.
pub async fn preview(path: Option<&Path>, target: &str, only: Option<&str>) -> Result<(), Failure> {
    let config = configuration(path)?;
    let feed = source::read(target, clock::now()).await?;
    let mut out = std::io::stdout().lock();
    for problem in &feed.problems {
        writeln!(out, "problem: {problem}")?;
    }
    let Some(entry) = feed.entries.into_iter().next() else {
        writeln!(out, "nothing to preview in {target}")?;
        return Err(Failure::No);
    };
    if let Some(only) = only
        && !config.accounts.iter().any(|account| account.name == only)
    {
        return Err(Failure::Usage(format!("songkhao: no account is called {only:?}")));
    }
    let picture = entry.content.image.clone();
    let summary = summarize::write(&entry.content, picture, config.style.hashtags as usize);
    let wording = Wording::compile(&config)?;
    for account in config.accounts.iter().filter(|account| only.is_none_or(|only| account.name == only)) {
        let Some(route) = route_to(&config, account) else { continue };
        writeln!(out, "── {} ({}) ──", account.name, account.platform())?;
        match compose::payload(&wording, route, account, &[&summary], false) {
            Ok(payload) => show(account.platform(), &payload, &mut out)?,
            Err(reason) => writeln!(out, "can't be posted: {reason}")?,
        }
    }
    Ok(())
}

/// The operator's configuration if there is one, else plain accounts with our own wording.
fn configuration(path: Option<&Path>) -> Result<Config, Failure> {
    let there = ["config.toml", "/etc/songkhao/config.toml"].iter().any(|path| PathBuf::from(path).exists());
    if path.is_some() || there {
        return desk::read(path);
    }
    let env = BTreeMap::from([("NONE".to_owned(), "none".to_owned())]);
    config::parse("preview", PLAIN, &env).map_err(|faults| crate::cli::faulty(&faults))
}

fn route_to<'a>(config: &'a Config, account: &Account) -> Option<&'a Route> {
    config.routes.iter().find(|route| route.accounts.contains(&account.name))
}

fn show(platform: Platform, payload: &Payload, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{}", payload.text)?;
    if let (Platform::Facebook, Some(link)) = (platform, &payload.link) {
        writeln!(out, "[{link}]")?;
    }
    let (length, cost) = match platform {
        Platform::Facebook => (length::facebook(&payload.text), "free".to_owned()),
        Platform::X => {
            let price = budget::x_post(payload.link.is_some());
            (length::x(&payload.text), format!("{}.{:03} USD", price / 1000, price % 1000))
        }
        Platform::Line => {
            (length::line(&payload.text), "one message for each friend who receives it".to_owned())
        }
    };
    let Length { length, limit, .. } = length;
    writeln!(
        out,
        "length {length} of {limit}; cost: {cost}; {} bytes, sha256 {}",
        payload.body.len(),
        payload.hash
    )?;
    writeln!(out, "{}", payload.body)
}
