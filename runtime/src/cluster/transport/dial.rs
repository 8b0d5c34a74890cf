//! One attempt to reach another node.

use std::sync::Arc;

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector, TlsStream, client, rustls::ClientConfig, rustls::pki_types::ServerName,
};

use super::{
    fault::{DialError, diagnose},
    link::{End, Met},
    listener::HANDSHAKE,
    network::Inner,
    socket,
};
use crate::cluster::identity::SERVER_NAME;

/// How a greeting ended.
pub(super) enum Outcome {
    Met(Box<TlsStream<TcpStream>>, Box<Met>),
    Not(DialError),
}

/// Connects and shakes hands in TLS.
pub(in crate::cluster) async fn connect(
    address: &str,
    config: Arc<ClientConfig>,
) -> Result<client::TlsStream<TcpStream>, DialError> {
    let unreachable = |reason: String| DialError::Unreachable {
        address: address.to_owned(),
        reason,
    };
    let silent = |_| DialError::Silent {
        address: address.to_owned(),
    };
    let stream = match timeout(HANDSHAKE, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| unreachable(error.to_string()))?,
        Err(_) => return Err(unreachable("no answer within 5 s".to_owned())),
    };
    socket::prepare(&stream).map_err(|error| unreachable(error.to_string()))?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|error| unreachable(error.to_string()))?;
    let shaking = TlsConnector::from(config).connect(name, stream);
    let shaken = timeout(HANDSHAKE, shaking).await.map_err(silent)?;
    shaken.map_err(|error| diagnose(address, &error))
}

/// Dials, greets and hands the connection over; returns when the link is open.
pub(super) async fn dial(
    network: &Arc<Inner>,
    address: &str,
) -> Result<Arc<super::link::NetLink>, DialError> {
    let stream = connect(address, network.identity().client()).await?;
    let greeted = network.greet(TlsStream::Client(stream), address, End::Dialled);
    match timeout(HANDSHAKE, greeted).await {
        Ok(Outcome::Met(stream, met)) => network.adopt(*stream, *met).await,
        Ok(Outcome::Not(error)) => Err(error),
        Err(_) => Err(DialError::Silent {
            address: address.to_owned(),
        }),
    }
}
