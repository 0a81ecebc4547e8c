//! Wire: a TCP connection that a fault can cut, before or amid an answer.
//!
//! axum always sends an answer. To fall silent as a broken platform does, the handler marks its own
//! connection, and the next write fails below the HTTP layer: no byte of the answer leaves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use axum::serve::Listener;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In order, with FIN: the client reads an end of file.
    Close,
    /// At once, with RST: the client reads "connection reset by peer".
    Reset,
}

/// A handle on the connection a request came by.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    cut: Arc<Mutex<Option<Cut>>>,
}

impl Wire {
    /// Ends the connection at its next write.
    pub fn cut(&self, cut: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }

    fn is_cut(&self) -> Option<Cut> {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, WireListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, WireListener>) -> Wire {
        stream.io().wire.clone()
    }
}

/// A TCP listener whose connections can be cut.
#[derive(Debug)]
pub struct WireListener(pub TcpListener);

impl Listener for WireListener {
    type Io = WireStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (WireStream, Self::Addr) {
        let (stream, addr) = Listener::accept(&mut self.0).await;
        (WireStream { stream, wire: Wire::default() }, addr)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A TCP stream that stops writing once its wire is cut.
#[derive(Debug)]
pub struct WireStream {
    stream: TcpStream,
    wire: Wire,
}

impl WireStream {
    fn check(&self) -> io::Result<()> {
        match self.wire.is_cut() {
            None => Ok(()),
            Some(Cut::Close) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Cut::Reset) => {
                self.stream.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}

impl AsyncRead for WireStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // After a FIN the reset would come too late to be seen.
        if self.wire.is_cut() == Some(Cut::Reset) {
            self.stream.set_zero_linger()?;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
