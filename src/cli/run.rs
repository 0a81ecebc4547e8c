//! Run: the daemon, from the configuration to the last word.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::TimeDelta;
use sd_notify::NotifyState;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;

use crate::cli::Failure;
use crate::cli::desk;
use crate::cli::desk::Desk;
use crate::config;
use crate::daemon;
use crate::metric;
use crate::model::audit::Action;
use crate::model::hash;
use crate::pipeline;
use crate::pipeline::Context;
use crate::store::audit;
use crate::store::gap;
use crate::store::gap::Cause;
use crate::store::setting;
use crate::web;
use crate::web::App;

/// How far back `--reconcile-all` looks (reliability.md section 2).
const LOOK_BACK: TimeDelta = TimeDelta::hours(48);

/// `songkhao run`.
///
/// # Errors
/// Faults of the configuration, a taken node name or port, a database out of reach.
pub async fn run(config: Option<&Path>, reconcile_all: bool) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    if reconcile_all {
        let stamp = desk.stamp();
        let gap = gap::open(&desk.db, &stamp, Cause::Ordered, Some(stamp.at - LOOK_BACK), json!({})).await?;
        pipeline::deliver::warn_of_gap(&gap);
    }
    for remark in desk.config.remarks() {
        info!("Note: {remark}");
    }
    let context = Arc::new(desk.context().await?);
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let listen = context.config.web.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("web.listen: {listen} can't be bound; choose another port or stop what uses it")
    })?;
    serve(context, listener, stop, config).await
}

/// Runs the daemon and its pages on `listener` until `stop`; a SIGHUP reads the configuration at `path` again.
///
/// # Errors
/// A taken node name, or a database out of reach.
pub async fn serve(
    context: Arc<Context>,
    listener: TcpListener,
    stop: CancellationToken,
    path: Option<&Path>,
) -> Result<(), Failure> {
    metric::start()?;
    let presence = daemon::arrive(&context, &stop).await?;
    announce(&format!("listening http://{}", listener.local_addr()?));
    notify(&[NotifyState::Ready]);
    let pulse = Arc::new(daemon::Pulse::default());
    let (in_force, contexts) = watch::channel(context.clone());
    let last_cycle = {
        let pulse = pulse.clone();
        Arc::new(move || pulse.last())
    };
    let leaving = CancellationToken::new();
    let pages = tokio::spawn(web::serve(listener, App::new(contexts, last_cycle), leaving.clone()));
    let mut hangup = signal(SignalKind::hangup())?;
    let mut context = context;
    let mut aborted = 0;
    while !stop.is_cancelled() {
        let round = stop.child_token();
        let mut working = tokio::spawn(daemon::work(context.clone(), pulse.clone(), round.clone()));
        let next = loop {
            tokio::select! {
                done = &mut working => {
                    aborted += done.context("the daemon's loops broke off")?;
                    break None;
                }
                Some(()) = hangup.recv() => {
                    if let Some(next) = reload(&context, path).await {
                        break Some(next);
                    }
                }
            }
        };
        if let Some(next) = next {
            // What is in flight finishes under the old configuration; then the new one takes over.
            round.cancel();
            aborted += working.await.context("the daemon's loops broke off")?;
            context = next;
            in_force.send_replace(context.clone());
        }
    }
    notify(&[NotifyState::Stopping]);
    leaving.cancel();
    pages.await.context("the pages broke off")??;
    daemon::leave(&context, presence, aborted).await;
    Ok(())
}

/// Reads the configuration again. A broken one is refused, and the old one stays in force.
async fn reload(old: &Arc<Context>, path: Option<&Path>) -> Option<Arc<Context>> {
    let mut entry = old.stamp("daemon").entry(Action::ConfigLoaded);
    let (next, recorded) = match fresh(old, path).await {
        Ok(next) => {
            let settings = &next.config.settings;
            let changes = config::difference(&old.config.settings, settings);
            info!(changes = changes.len(), "Reloaded the configuration: {} settings changed", changes.len());
            entry.detail = json!({
                "changes": changes, "since": "the last load",
                "settings_hash": hash::sha256_hex(json!(settings).to_string().as_bytes()),
            });
            let recorded = setting::replace(&old.db, &entry, settings).await;
            (Some(Arc::new(next)), recorded)
        }
        Err(reason) => {
            error!(reason, "The configuration was not reloaded; the old one stays in force");
            entry.action = Action::ConfigRefused;
            entry.detail = json!({ "reason": reason });
            (None, audit::record(&old.db, &entry).await)
        }
    };
    if let Err(error) = recorded {
        error!(error = %error, "The reload could not be recorded");
    }
    next
}

async fn fresh(old: &Context, path: Option<&Path>) -> Result<Context, String> {
    let config = match desk::read(path) {
        Ok(config) => config,
        Err(Failure::Usage(faults)) => return Err(faults),
        Err(_) => return Err("it can't be read".to_owned()),
    };
    for key in ["database.url", "node.name", "web.listen"] {
        if old.config.settings.get(key) != config.settings.get(key) {
            return Err(format!("{key} changes only with a restart"));
        }
    }
    let signer = desk::signer(&config).map_err(|error| format!("{error:#}"))?;
    let keys = desk::keys(&config).map_err(|error| format!("{error:#}"))?;
    let (db, boot, clock) = (old.db.clone(), old.boot.clone(), old.clock.clone());
    let next = Context::new(db, config, boot, clock, signer, old.reader.clone(), keys);
    let next = next.await.map_err(|error| format!("{error:#}"))?;
    daemon::adopt(&next).await.map_err(|error| error.to_string())?;
    Ok(next)
}

/// Prints a line that the contract promises, at once.
#[expect(clippy::print_stdout, reason = "what the command promises to print")]
pub fn announce(line: &str) {
    println!("{line}");
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = %error, "systemd could not be told");
    }
}

/// Cancels `stop` at the first SIGTERM or SIGINT; a second one ends the process at once, which is safe:
/// what was in flight is read back at the next start.
pub async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("Signals can't be listened for");
        return;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    info!("Stopping: no new sends, waiting for those in flight");
    stop.cancel();
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    std::process::exit(1);
}
