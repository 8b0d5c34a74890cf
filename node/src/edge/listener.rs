//! Takes connections, within limits, until told to stop; then lets them end.

mod admission;
mod connection;
mod holder;
mod patient;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpSocket},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::admission::Admission;
use super::{EdgeConfig, EdgeError, shared::Shared};

pub(crate) use connection::{Service, Stay};
pub(crate) use tls::acceptor;

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long to wait when the system cannot give another connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an edge that stops still answers, so that those who keep connections open hear of it with
/// an answer: a request that meets the end of its connection is lost, and its client cannot know how.
const LEAVE: Duration = Duration::from_secs(1);

/// How long a client may take, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    pub(crate) header: Duration,
    pub(crate) write: Duration,
    pub(crate) idle: Duration,
}

impl From<&EdgeConfig> for Limits {
    fn from(config: &EdgeConfig) -> Self {
        Self {
            connections: config.max_connections,
            per_address: config.max_connections_per_ip,
            header: config.header_timeout.0,
            write: config.body_timeout.0,
            idle: config.idle_timeout.0,
        }
    }
}

/// Listens at `address`; on failure says who does so already.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, EdgeError> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => EdgeError::InUse {
            address,
            holder: holder::of(address.port()),
        },
        _ => EdgeError::Bind { address, source },
    })
}

/// What [`serve`] needs.
pub(crate) struct Serving<S> {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: S,
}

/// Serves connections until `shutdown`; then takes leave of those that are open, and waits for them,
/// `drain` at most.
pub(crate) async fn serve<S: Service>(
    serving: Serving<S>,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    let cut = CancellationToken::new();
    let connections = TaskTracker::new();
    let admission = Admission::new(serving.limits.connections, serving.limits.per_address);
    let spawn = |stream, ticket| {
        let link = connection::Link {
            stream,
            stay: connection::Stay::new((ticket, connections.token())),
            tls: serving.tls.clone(),
            limits: serving.limits,
            shared: serving.shared.clone(),
            service: serving.service.clone(),
        };
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection::run(link) => {}
                () = cut.cancelled() => {}
            }
        });
    };
    {
        let mut accept_all = std::pin::pin!(async {
            loop {
                if let Some((stream, ticket)) = accept(&serving.listener, &admission).await {
                    spawn(stream, ticket);
                }
            }
        });
        tokio::select! {
            () = shutdown => {}
            () = &mut accept_all => {}
        }
        serving.shared.stopping.cancel();
        connections.close();
        tokio::select! {
            () = connections.wait() => {}
            () = sleep(LEAVE.min(drain)) => {}
            () = &mut accept_all => {}
        }
    }
    // Whoever was connected by the system, but not seen yet.
    while let Some(accepted) = accept(&serving.listener, &admission).now_or_never() {
        if let Some((stream, ticket)) = accepted {
            spawn(stream, ticket);
        }
    }
    drop(serving.listener);
    serving.shared.closing.cancel();
    if timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "connections did not end in time and were cut"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// The next connection, unless its address has too many.
async fn accept(
    listener: &TcpListener,
    admission: &Admission,
) -> Option<(tokio::net::TcpStream, admission::Ticket)> {
    let room = admission.room().await;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let ticket = admission.admit(room, peer.ip());
            if ticket.is_none() {
                tracing::debug!(%peer, "too many connections from one address");
            }
            Some((stream, ticket?))
        }
        Err(error) => {
            // Out of descriptors, mostly: waiting helps, trying at once does not.
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(PAUSE).await;
            None
        }
    }
}
