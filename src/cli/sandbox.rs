//! Sandbox: runs the fake platforms and the sample feed alone.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;
use crate::cli::run::announce;
use crate::cli::run::stop_on_signal;
use crate::clock;
use crate::sandbox;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;

/// `songkhao sandbox`.
///
/// # Errors
/// When the address can't be bound.
pub async fn sandbox(listen: SocketAddr, limits: bool) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("{listen} can't be bound"))?;
    let base = format!("http://{}", listener.local_addr()?);
    let sandbox = Sandbox::new(Options { limits, ..Options::at(&base, Arc::new(clock::now)) });
    announce(&format!("listening {base}"));
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    Ok(sandbox::serve(listener, sandbox, stop.cancelled_owned()).await?)
}
