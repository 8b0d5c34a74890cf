//! Takes connections, within limits, until told to stop; then lets them end.

mod admission;
mod connection;
mod holder;
mod patient;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::admission::Admission;
use super::{EdgeConfig, EdgeError, shared::Shared};

pub(crate) use connection::Service;
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

/// Serves connections until `shutdown`, then waits for those that are open, `drain` at most.
pub(crate) async fn serve<S: Service>(
    serving: Serving<S>,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    let Serving {
        listener,
        tls,
        limits,
        shared,
        service,
    } = serving;
    let admission = Admission::new(limits.connections, limits.per_address);
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &admission) => accepted,
        };
        let Some((stream, ticket)) = accepted else {
            continue;
        };
        let link = connection::Link {
            stream,
            ticket,
            tls: tls.clone(),
            limits,
            shared: shared.clone(),
            service: service.clone(),
        };
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection::run(link) => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    shared.stopping.cancel();
    connections.close();
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
