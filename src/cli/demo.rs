//! Demo: shows the whole way from a feed to three platforms.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
use crate::cli::desk;
use crate::cli::desk::Desk;
use crate::cli::run;
use crate::cli::run::announce;
use crate::clock;
use crate::config;
use crate::model::account::Platform;
use crate::model::user::Role;
use crate::pipeline::Context;
use crate::sandbox;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;
use crate::secret::ExposeSecret;
use crate::store::article;
use crate::store::delivery;
use crate::store::post;
use crate::web;

/// Where the pages are by default; any free port if this one is taken.
const LISTEN: &str = "127.0.0.1:8080";

/// The sample articles that are there from the start; the others appear one by one.
const ARTICLES_AT_FIRST: usize = 6;

/// How often a further sample article appears.
const NEXT_ARTICLE: Duration = Duration::from_secs(15);

/// `demo --once` gives up after this long; it takes a few seconds.
const PATIENCE: TimeDelta = TimeDelta::minutes(2);

/// `songkhao demo`.
///
/// # Errors
/// When no port can be bound, or, with `once`, when an article is missing on a platform (exit 1).
pub async fn demo(once: bool, listen: Option<SocketAddr>) -> Result<(), Failure> {
    let folder = own_folder()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let articles = if once { usize::MAX } else { ARTICLES_AT_FIRST };
    let sandbox = Sandbox::new(Options { articles, ..Options::at(&base, Arc::new(clock::now)) });
    let stop = CancellationToken::new();
    let served = tokio::spawn(sandbox::serve(listener, sandbox.clone(), stop.clone().cancelled_owned()));
    let pages = bind(listen).await?;
    let address = pages.local_addr()?;
    let desk = open(&base, &folder, address).await?;
    let context = Arc::new(desk.context().await?);
    let invitation = web::sign_in_link(&context.db, &context.stamp("demo"), Role::Admin).await?;
    announce(&format!("open http://{address}{}", invitation.path));
    announce(&format!("token {}", invitation.token.expose_secret()));
    announce(&format!("sandbox {base}"));
    tokio::spawn(run::stop_on_signal(stop.clone()));
    let verdict = if once {
        let daemon = tokio::spawn(run::serve(context.clone(), pages, stop.clone(), None));
        let verdict = wait_for_all(&context, &sandbox).await;
        stop.cancel();
        daemon.await.context("the daemon broke off")??;
        verdict
    } else {
        tokio::spawn(reveal(sandbox.clone(), stop.clone()));
        run::serve(context, pages, stop.clone(), None).await
    };
    served.await.context("the sandbox broke off")??;
    std::fs::remove_dir_all(&folder).with_context(|| format!("{} could not be removed", folder.display()))?;
    verdict
}

/// A folder of our own for the demo's database.
fn own_folder() -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("songkhao-demo-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// The address asked for; else the usual one, or any free port where that is taken.
async fn bind(listen: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(listen) = listen {
        return TcpListener::bind(listen).await.with_context(|| format!("{listen} can't be bound"));
    }
    match TcpListener::bind(LISTEN).await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(TcpListener::bind("127.0.0.1:0").await?),
    }
}

async fn open(base: &str, folder: &Path, listen: SocketAddr) -> Result<Desk, Failure> {
    let text = include_str!("demo.toml")
        .replace("{base}", base)
        .replace("{listen}", &listen.to_string())
        .replace("{folder}", &folder.display().to_string());
    let env = BTreeMap::from([("DEMO".to_owned(), "demo-secret".to_owned())]);
    let config = config::parse("demo.toml", &text, &env).map_err(|faults| crate::cli::faulty(&faults))?;
    let db = desk::open(&config).await?;
    Ok(Desk { config, db })
}

/// Lets a further sample article appear now and then.
async fn reveal(sandbox: Sandbox, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(NEXT_ARTICLE)).await.is_some() {
        if sandbox.publish_next().is_none() {
            return;
        }
    }
}

/// Waits until nothing moves any more, prints the table, and says whether every article is everywhere.
async fn wait_for_all(context: &Context, sandbox: &Sandbox) -> Result<(), Failure> {
    let db = &context.db;
    let deadline = context.now() + PATIENCE;
    let mut changes = db.changes();
    loop {
        let articles = article::list_newest(db, i64::MAX).await?;
        let moving = article::count_moving(db).await?
            + post::count_to_enqueue(db).await?
            + delivery::count_moving(db).await?;
        if (!articles.is_empty() && moving == 0) || context.now() > deadline {
            return print_table(sandbox, &articles);
        }
        changes.next(Duration::from_millis(200)).await;
    }
}

fn print_table(sandbox: &Sandbox, articles: &[article::Article]) -> Result<(), Failure> {
    let published = sandbox.published();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<10} {:<6} {:<6} headline", "facebook", "x", "line")?;
    let mut missing = 0;
    for article in articles.iter().rev() {
        let link = article.content.link.as_deref().unwrap_or_default();
        let on: HashSet<Platform> = published
            .iter()
            .filter(|post| post.links.iter().any(|other| other == link))
            .map(|post| post.platform)
            .collect();
        missing += Platform::ALL.len() - on.len();
        let mark = |platform| if on.contains(&platform) { "yes" } else { "no" };
        writeln!(
            out,
            "{:<10} {:<6} {:<6} {}",
            mark(Platform::Facebook),
            mark(Platform::X),
            mark(Platform::Line),
            article.content.title
        )?;
    }
    writeln!(out, "{} articles, {} posts, {missing} missing", articles.len(), published.len())?;
    let complete = missing == 0 && published.len() == articles.len() * Platform::ALL.len();
    if complete && !articles.is_empty() { Ok(()) } else { Err(Failure::No) }
}
