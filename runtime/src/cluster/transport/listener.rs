//! Takes connections on the mesh port: each in a task of its own, few of them unauthenticated.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{
    dial::Outcome,
    link::End,
    network::Inner,
    socket::{self, linger},
};
use crate::cluster::{
    identity::{JOIN, MESH},
    join,
};

/// Connections that have not said who they are, in all.
const UNKNOWN: usize = 64;

/// From one address: a machine may run several nodes, and one of them may misbehave.
const UNKNOWN_PER_ADDRESS: usize = 32;

/// How long a connection may take to say who it is.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long the store may take to grant a join.
const GRANT: Duration = Duration::from_secs(20);

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts connections that have not said who they are.
#[derive(Debug, Default)]
pub(super) struct Porch(Mutex<HashMap<IpAddr, usize>>);

/// A place on the porch, until it is dropped.
pub(super) struct Place {
    porch: Arc<Porch>,
    from: IpAddr,
}

impl Porch {
    fn with<T>(&self, look: impl FnOnce(&mut HashMap<IpAddr, usize>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        self.with(|waiting| {
            let here = waiting.get(&from).copied().unwrap_or(0);
            let all: usize = waiting.values().sum();
            if here >= UNKNOWN_PER_ADDRESS || all >= UNKNOWN {
                return None;
            }
            waiting.insert(from, here + 1);
            let porch = self.clone();
            Some(Place { porch, from })
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.porch.with(|waiting| {
            if let Some(here) = waiting.get_mut(&self.from) {
                *here -= 1;
                if *here == 0 {
                    waiting.remove(&self.from);
                }
            }
        });
    }
}

/// Accepts until the network stops. Without file descriptors it waits for some to come free.
pub(super) async fn accept(network: Arc<Inner>, listener: TcpListener) {
    let porch = Arc::new(Porch::default());
    let mut pause = FIRST_PAUSE;
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the mesh port takes no connection at the moment");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = FIRST_PAUSE;
        let Some(place) = porch.enter(from.ip()) else {
            tracing::debug!(%from, "too many connections on the mesh port have not said who they are");
            continue;
        };
        let serving = serve(network.clone(), stream, from, place);
        network.spawn(serving);
    }
}

async fn serve(network: Arc<Inner>, stream: TcpStream, from: SocketAddr, place: Place) {
    let Ok(Some(stream)) = timeout(HANDSHAKE, handshake(&network, stream, from)).await else {
        return;
    };
    let spoken = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    match spoken.as_deref() {
        Some(MESH) => mesh(&network, stream, from, place).await,
        Some(JOIN) => {
            let granting = join::serve(network.desk(), stream, from.ip());
            if timeout(GRANT, granting).await.is_err() {
                tracing::warn!(%from, "a join took too long");
            }
            drop(place);
        }
        Some(_) | None => linger(stream).await,
    }
}

async fn handshake(
    network: &Inner,
    stream: TcpStream,
    from: SocketAddr,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    if let Err(error) = socket::prepare(&stream) {
        tracing::debug!(%from, %error, "a connection ended before it began");
        return None;
    }
    let acceptor = TlsAcceptor::from(network.identity().server());
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Some(stream),
        Err((error, stream)) => {
            tracing::info!(%from, %error, "a connection on the mesh port was refused");
            linger(stream).await;
            None
        }
    }
}

async fn mesh(
    network: &Arc<Inner>,
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    from: SocketAddr,
    place: Place,
) {
    let stream = TlsStream::Server(stream);
    let address = from.to_string();
    let greeted = network.greet(stream, &address, End::Accepted);
    let met = match timeout(HANDSHAKE, greeted).await {
        Ok(Outcome::Met(stream, met)) => (stream, met),
        Ok(Outcome::Not(error)) => {
            tracing::warn!(%from, "{error}");
            return;
        }
        Err(_) => {
            tracing::info!(%from, "a connection on the mesh port did not say who it is in time");
            return;
        }
    };
    drop(place);
    let (stream, met) = met;
    if let Err(error) = network.adopt(*stream, *met).await {
        tracing::warn!(%from, "{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_fill_the_porch_and_places_come_free() {
        let porch = Arc::new(Porch::default());
        let one = IpAddr::from([10, 0, 0, 1]);
        let mut places: Vec<_> = std::iter::from_fn(|| porch.enter(one)).collect();
        assert_eq!(places.len(), UNKNOWN_PER_ADDRESS);
        let other = IpAddr::from([10, 0, 0, 2]);
        places.extend(std::iter::from_fn(|| porch.enter(other)));
        assert_eq!(places.len(), UNKNOWN);
        assert!(porch.enter(IpAddr::from([10, 0, 0, 3])).is_none());
        drop(places);
        assert!(porch.enter(one).is_some());
        porch.with(|waiting| assert!(waiting.is_empty()));
    }
}
