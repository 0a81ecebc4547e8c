//! Server: takes connections and gives them to the router.
//!
//! Our own loop rather than `axum::serve`, because that one waits for ever for a request's headers: a few hundred
//! silent connections would keep everybody else out (slowloris).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;
use tracing::warn;

use crate::web::App;
use crate::web::route;

/// How long a request's headers may take.
const HEADERS: Duration = Duration::from_secs(10);

/// How many connections are open at once; further ones wait to be taken.
const CONNECTIONS: usize = 1024;

/// How long open requests may take after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// The pause after a connection that could not be taken: no file descriptors are left, mostly.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// Serves the pages until `stop`, then lets open requests finish for a moment.
///
/// # Errors
/// None at present; binding is the caller's.
pub async fn serve(listener: TcpListener, app: App, stop: CancellationToken) -> io::Result<()> {
    let router = route::router(app.clone());
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let open = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEADERS));
    loop {
        let taking = async { (seats.clone().acquire_owned().await, listener.accept().await) };
        let Some((seat, accepted)) = stop.run_until_cancelled(taking).await else { break };
        let Some((stream, peer)) = taken(accepted).await else { continue };
        let router = router.clone();
        let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            router.clone().oneshot(request)
        });
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(error = %error, "A connection broke off");
            }
            drop(seat);
        });
    }
    drop(listener);
    app.0.closing.cancel();
    if tokio::time::timeout(GRACE, open.shutdown()).await.is_err() {
        warn!("Some requests were still open and are given up");
    }
    Ok(())
}

async fn taken(accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            warn!(error = %error, "A connection could not be taken");
            tokio::time::sleep(AFTER_ERROR).await;
            None
        }
    }
}
