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
    io::{AsyncRead, AsyncWrite, BufReader, ReadBuf},
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
        let read = Reading::new(read, &self.severance);
        let write = Writing::new(write, &self.severance);
        (
            Box::new(BufReader::with_capacity(BUFFER, read)),
            Box::new(write),
        )
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }
}

struct Reading<R> {
    half: R,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    severance: Severance,
}

impl<R> Reading<R> {
    fn new(half: R, severance: &Severance) -> Self {
        Self {
            half,
            cut: severance.wait(),
            severance: severance.clone(),
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Reading<R> {
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
impl<R> Drop for Reading<R> {
    fn drop(&mut self) {
        self.severance.sever("its session ended");
    }
}

struct Writing<W> {
    half: W,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    stalled: Option<Pin<Box<Sleep>>>,
    severance: Severance,
}

impl<W> Writing<W> {
    fn new(half: W, severance: &Severance) -> Self {
        Self {
            half,
            cut: severance.wait(),
            stalled: None,
            severance: severance.clone(),
        }
    }

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

impl<W: AsyncWrite + Unpin> AsyncWrite for Writing<W> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_no_bytes_is_cut_off_when_its_time_is_up() {
        let severance = Severance::default();
        let (near, _far) = duplex(16);
        let mut writing = Writing::new(near, &severance);
        let began = tokio::time::Instant::now();
        let written = writing.write_all(&[7; 17]).await;
        assert_eq!(
            written.unwrap_err().kind(),
            io::ErrorKind::ConnectionAborted
        );
        assert_eq!(began.elapsed(), STALL);
        assert_eq!(severance.reason(), "the other end takes no bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_end_is_not_cut_off() {
        let severance = Severance::default();
        let (near, mut far) = duplex(16);
        let mut writing = Writing::new(near, &severance);
        let reading = async {
            let mut bytes = [0; 16];
            for _ in 0..10 {
                tokio::time::advance(STALL - Duration::from_secs(1)).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(writing.write_all(&[7; 160]), reading);
        assert!(written.is_ok() && !severance.is_severed());
    }

    #[tokio::test]
    async fn cutting_fails_both_halves_with_the_first_reason() {
        let severance = Severance::default();
        let (near, _far) = duplex(16);
        let (read, write) = tokio::io::split(near);
        let mut reading = Reading::new(read, &severance);
        let mut writing = Writing::new(write, &severance);
        let cutting = async {
            tokio::task::yield_now().await;
            severance.sever("enough");
            severance.sever("more than enough");
        };
        let (read, ()) = tokio::join!(reading.read_u8(), cutting);
        assert_eq!(read.unwrap_err().to_string(), "enough");
        assert_eq!(writing.write_u8(1).await.unwrap_err().to_string(), "enough");
    }

    #[tokio::test]
    async fn an_end_that_closes_is_told_from_one_that_is_cut() {
        let severance = Severance::default();
        let (near, far) = duplex(16);
        let mut reading = Reading::new(near, &severance);
        drop(far);
        assert!(reading.read_u8().await.is_err());
        assert_eq!(severance.reason(), "the other end closed the connection");
    }
}
