//! A node on a real socket, and all that may come to its port.

mod guests;
mod strangers;

use std::sync::Arc;

use protocol::{
    id::NodeId,
    member::NodeRole,
    time::Timestamp,
    wire::hello::{Hello, PROTOCOL},
};
use tokio::net::TcpStream;
use tokio_rustls::{client::TlsStream, rustls::ClientConfig};
use uuid::Uuid;

use super::{
    DialError, Network, NetworkError,
    dial::connect,
    greeting,
    testkit::{Founded, Recorder, Running, settings},
};
use crate::{
    clock::Clock,
    cluster::identity::{Identity, Subject, named},
};

fn now() -> Timestamp {
    Clock::system().now()
}

fn node_id(number: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(number))
}

async fn host(founded: &Founded) -> Running {
    let identity = founded.identity("c1", NodeRole::Control, now()).unwrap();
    let (recorder, _) = Recorder::new();
    Running::start(settings(identity, node_id(1), recorder))
        .await
        .unwrap()
}

fn guest(founded: &Founded) -> Identity {
    founded.identity("w1", NodeRole::Worker, now()).unwrap()
}

fn hello(subject: &Subject) -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster: subject.cluster,
        node: node_id(2),
        name: subject.name.clone(),
        roles: subject.roles.clone(),
        shards: 256,
        now: now(),
        version: "0.0.0".to_owned(),
        region: String::new(),
        mesh: None,
        token: Uuid::new_v4(),
        gateway: 0,
    }
}

/// Says `hello` to the node at `address` over this TLS, as a node does.
async fn greet(
    address: &str,
    config: Arc<ClientConfig>,
    hello: &Hello,
) -> Result<(TlsStream<TcpStream>, Hello), DialError> {
    let mut stream = connect(address, config).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let (subject, _) = named(&chain[0]).unwrap();
    let judge = |_: &Hello, _: &Subject| Ok(());
    let clock = Clock::system();
    let exchanged = greeting::exchange(&mut stream, hello, &subject, &clock, &judge).await;
    match exchanged {
        Ok((other, _)) => Ok((stream, other)),
        Err(error) => Err(error.at(address.to_owned())),
    }
}

#[tokio::test]
async fn a_process_has_one_network() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let (recorder, _) = Recorder::new();
    let second = Network::prepare(settings(guest(&founded), node_id(3), recorder));
    assert_eq!(second.map(drop), Err(NetworkError::Second));
    running.stop().await;
}

#[tokio::test]
async fn a_node_with_an_expired_certificate_says_so_at_its_start() {
    let founded = Founded::new(7).unwrap();
    let long_ago = Timestamp::from_micros(now().as_micros() - 3 * 86_400_000_000);
    let expired = founded.identity("c1", NodeRole::Control, long_ago).unwrap();
    let (recorder, _) = Recorder::new();
    let prepared = Network::prepare(settings(expired, node_id(1), recorder));
    let line = prepared.map(drop).unwrap_err().to_string();
    assert!(
        line.contains("expired at") && line.contains("join again"),
        "{line}"
    );
}
