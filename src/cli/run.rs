//! Run: the daemon, from the configuration to the last word.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::daemon;
use crate::pipeline::Context;

/// `songkhao run`.
///
/// # Errors
/// Faults of the configuration, a taken node name or port, a database out of reach.
pub async fn run(config: Option<&Path>) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    for remark in desk.config.remarks() {
        info!("Note: {remark}");
    }
    let context = Arc::new(desk.context().await?);
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    serve(context, stop).await
}

/// Runs the daemon and its pages until `stop`.
///
/// # Errors
/// A taken node name or port.
pub async fn serve(context: Arc<Context>, stop: CancellationToken) -> Result<(), Failure> {
    let listen = context.config.web.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("web.listen: {listen} can't be bound; choose another port or stop what uses it")
    })?;
    let seat = daemon::take_seat(&context).await?;
    announce(&format!("listening http://{}", listener.local_addr()?));
    notify(&[sd_notify::NotifyState::Ready]);
    let pulse = Arc::new(daemon::Pulse::default());
    daemon::work(context, seat, pulse, stop).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    Ok(())
}

/// Prints a line that the contract promises, at once.
#[expect(clippy::print_stdout, reason = "what the command promises to print")]
pub fn announce(line: &str) {
    println!("{line}");
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
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
