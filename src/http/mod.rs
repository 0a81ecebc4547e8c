//! HTTP: makes every client, with its caps, guard and redirect rules.
//!
//! Two kinds of address exist: those the operator wrote (trusted: platform APIs, a source's own URL)
//! and those found in feeds, pages, redirects and hooks (checked by [`guard`] wherever they are used).

pub mod guard;
pub mod fetch;

use std::time::Duration;

use bytes::Bytes;

/// How long requests may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// The whole request, body included.
    pub total: Duration,
}

/// The agent we present ourselves as.
pub const USER_AGENT: &str = concat!("songkhao/", env!("CARGO_PKG_VERSION"));

/// A client for addresses the operator wrote (platform APIs): no redirects, no retries of its own, no proxy.
///
/// A publishing request must never be repeated behind our back, so the HTTP library's own retries
/// (it repeats on protocol NACKs) are off.
///
/// # Errors
/// When the TLS back end can't be set up.
pub fn platform_client(timeouts: Timeouts) -> reqwest::Result<reqwest::Client> {
    builder(timeouts).build()
}

/// What every client shares: the agent, the time-outs, and nothing done behind our back.
fn builder(timeouts: Timeouts) -> reqwest::ClientBuilder {
    #[expect(clippy::disallowed_methods, reason = "the one maker of HTTP clients")]
    let builder = reqwest::Client::builder();
    builder
        .user_agent(USER_AGENT)
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
}

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed; reading stopped there.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in decoded bytes.
        limit: usize,
    },
    /// The connection broke or the time was up.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// Reads a body up to `limit` decoded bytes, so that neither a flood nor a compression bomb fills memory.
///
/// # Errors
/// [`BodyError::TooLarge`] past the limit, [`BodyError::Broken`] when the connection fails.
pub async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<Bytes, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| BodyError::Broken(error.without_url().to_string()))?
    {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// Makes ring the process's TLS provider; every program and test calls it before the first client is made.
pub fn install_tls() {
    // A second call finds the provider installed and changes nothing.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}
