//! Telemetry: sends log lines to journald under systemd, else to stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged unless `RUST_LOG` says otherwise: our own sentences, and warnings of the libraries.
const DEFAULT_FILTER: &str = "warn,songkhao=info";

/// Starts logging; a second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let started = match tracing_journald::layer() {
        Ok(journald) if under_systemd => registry.with(journald).try_init(),
        _ => {
            let human = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal());
            registry.with(human).try_init()
        }
    };
    // Only tests start twice; the first subscriber stays.
    drop(started);
}
