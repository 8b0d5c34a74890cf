//! A TLS stream as ractor_cluster takes it: read in large pieces, and severed from outside.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf, ReadHalf, WriteHalf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A frame's two reads would each be a system call and a TLS record otherwise.
const BUFFER: usize = 64 * 1024;

/// How long the other end may take no bytes.
const STALL: Duration = Duration::from_secs(10);

/// Ends a connection from outside: both halves fail, whatever they wait for. Cheap to clone.
///
/// To stop ractor's session instead would leak its writer and the socket.
#[derive(Clone, Default)]
pub(super) struct Severance(Arc<Cut>);

#[derive(Default)]
struct Cut {
    reason: OnceLock<String>,
    done: CancellationToken,
}

impl Severance {
    /// Cuts the connection; the first reason counts.
    pub(super) fn sever(&self, reason: &str) {
        let _ = self.0.reason.set(reason.to_owned());
        self.0.done.cancel();
    }

    /// The socket failed, which is how a killed process looks from here.
    fn fail(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => self.sever("the other end is gone"),
            _ => self.sever(&error.to_string()),
        }
    }

    pub(super) fn is_severed(&self) -> bool {
        self.0.done.is_cancelled()
    }

    pub(super) async fn severed(&self) {
        self.0.done.cancelled().await;
    }

    pub(super) fn reason(&self) -> &str {
        self.0.reason.get().map_or("closed", String::as_str)
    }

    fn error(&self) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, self.reason())
    }

    fn wait(&self) -> Pin<Box<WaitForCancellationFutureOwned>> {
        Box::pin(self.0.done.clone().cancelled_owned())
    }
}

impl fmt::Debug for Severance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Severance({:?})", self.0.reason.get())
    }
}

/// The stream of one link.
pub(super) struct Wire {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) label: String,
    pub(super) severance: Severance,
}

impl ClusterBidiStream for Wire {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self.stream);
        let read = Reading {
            half: read,
            cut: self.severance.wait(),
            severance: self.severance.clone(),
        };
        let write = Writing {
            half: write,
            cut: self.severance.wait(),
            stalled: None,
            severance: self.severance,
        };
        (
            Box::new(BufReader::with_capacity(BUFFER, read)),
            Box::new(write),
        )
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

struct Reading {
    half: ReadHalf<TlsStream<TcpStream>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    severance: Severance,
}

impl AsyncRead for Reading {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(self.severance.error()));
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.half).poll_read(cx, buf));
        match &read {
            Ok(()) if buf.filled().len() == before => {
                self.severance.sever("the other end closed the connection");
            }
            Ok(()) => {}
            Err(error) => self.severance.fail(error),
        }
        Poll::Ready(read)
    }
}

/// Reader and session are dropped with the stream when ractor ends it for reasons of its own.
impl Drop for Reading {
    fn drop(&mut self) {
        self.severance.sever("its session ended");
    }
}

struct Writing {
    half: WriteHalf<TlsStream<TcpStream>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    stalled: Option<Pin<Box<Sleep>>>,
    severance: Severance,
}

impl Writing {
    /// Fails what waits for too long, and keeps the first error for whoever asks why.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Ok(done)) => {
                self.stalled = None;
                return Poll::Ready(Ok(done));
            }
            Poll::Ready(Err(error)) => {
                self.severance.fail(&error);
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {}
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(cx));
        self.severance.sever("the other end takes no bytes");
        Poll::Ready(Err(self.severance.error()))
    }

    fn cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(self.severance.error()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncWrite for Writing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cut(cx)?;
        let polled = Pin::new(&mut self.half).poll_write(cx, buf);
        self.watch(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut(cx)?;
        let polled = Pin::new(&mut self.half).poll_flush(cx);
        self.watch(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut(cx)?;
        let polled = Pin::new(&mut self.half).poll_shutdown(cx);
        self.watch(cx, polled)
    }
}
