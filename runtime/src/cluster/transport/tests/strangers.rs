//! Connections that mean no good, or nothing at all.

use std::time::Duration;

use ractor_cluster::{NetworkStream, NodeServerMessage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{connect, greet, guest, hello, host};
use crate::cluster::transport::{DialError, testkit::Founded};

const SOON: Duration = Duration::from_secs(2);

/// Reads until the other end closes, however it does that.
async fn is_closed(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = [0; 4096];
    let reading = async { while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {} };
    timeout(Duration::from_secs(60), reading)
        .await
        .expect("it was left open");
}

#[tokio::test]
async fn plaintext_and_garbage_are_closed_at_once() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let noise: Vec<u8> = (0..4096_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: troupe\r\n\r\n".to_vec(),
        noise,
        (1_u64 << 40).to_be_bytes().repeat(4),
    ] {
        let mut stream = TcpStream::connect(&running.address).await.unwrap();
        // It may be closed before all is written.
        let _ = stream.write_all(&bytes).await;
        timeout(SOON, is_closed(stream)).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn a_length_that_no_greeting_has_is_refused_before_its_bytes_come() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    for length in [16 * 1024 * 1024, u32::MAX] {
        let mut stream = connect(&running.address, guest(&founded).client())
            .await
            .unwrap();
        stream.write_all(&length.to_be_bytes()).await.unwrap();
        timeout(SOON, is_closed(stream)).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn a_frame_of_a_length_that_none_has_ends_only_its_own_link() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let identity = guest(&founded);
    for length in [1_u64 << 40, 16 * 1024 * 1024, u64::MAX] {
        let greeted = greet(
            &running.address,
            identity.client(),
            &hello(identity.subject()),
        )
        .await;
        let (mut stream, _) = greeted.unwrap();
        stream.write_all(&length.to_be_bytes()).await.unwrap();
        timeout(SOON, is_closed(stream)).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn a_newer_connection_of_a_node_takes_the_place_of_an_earlier_one() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let identity = guest(&founded);
    let said = hello(identity.subject());
    let earlier = greet(&running.address, identity.client(), &said).await;
    let newer = greet(&running.address, identity.client(), &said).await;
    timeout(SOON, is_closed(earlier.unwrap().0)).await.unwrap();
    drop(newer);
    running.stop().await;
}

#[tokio::test]
async fn whoever_claims_the_start_of_another_node_does_not_push_it_out() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let (one, other) = (guest(&founded), guest(&founded));
    let (mut standing, _) = greet(&running.address, one.client(), &hello(one.subject()))
        .await
        .unwrap();
    let posing = greet(&running.address, other.client(), &hello(other.subject())).await;
    timeout(SOON, is_closed(posing.unwrap().0)).await.unwrap();
    let mut byte = [0];
    let left = timeout(Duration::from_millis(50), standing.read(&mut byte)).await;
    assert!(left.is_err(), "the first was pushed out: {left:?}");
    running.stop().await;
}

#[tokio::test]
async fn what_ractors_own_listener_accepts_is_closed() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer_addr = listener.local_addr().unwrap();
    let stream = TcpStream::connect(peer_addr).await.unwrap();
    let local_addr = stream.local_addr().unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let stream = Box::new(NetworkStream::Raw {
        peer_addr,
        local_addr,
        stream,
    });
    let opened = NodeServerMessage::ConnectionOpened {
        stream,
        is_server: true,
    };
    running.network.sessions().cast(opened).unwrap();
    timeout(SOON, is_closed(accepted)).await.unwrap();
    running.stop().await;
}

/// With time paused, limits pass as soon as nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_guest_that_says_nothing_more_is_sent_away_when_its_time_is_up() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let silent = TcpStream::connect(&running.address).await.unwrap();
    is_closed(silent).await;
    running.stop().await;
}

#[tokio::test]
async fn twenty_silent_connections_delay_nobody() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&running.address).await.unwrap());
    }
    let identity = guest(&founded);
    let said = hello(identity.subject());
    let greeted = timeout(SOON, greet(&running.address, identity.client(), &said)).await;
    assert!(greeted.unwrap().is_ok());
    drop(silent);
    running.stop().await;
}

#[tokio::test]
async fn whoever_is_no_node_is_named_to_the_dialler() {
    let founded = Founded::new(7).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    let answering = async {
        let (mut stream, _) = free.accept().await.unwrap();
        stream.write_all(b"220 mail ready\r\n").await.unwrap();
        is_closed(stream).await;
    };
    let config = guest(&founded).client();
    let (dialled, ()) = tokio::join!(connect(&address, config.clone()), answering);
    let dialled = dialled.map(drop);
    assert!(
        matches!(dialled, Err(DialError::Stranger { .. })),
        "{dialled:?}"
    );
    drop(free);
    let dialled = connect(&address, config).await.map(drop);
    let line = dialled.unwrap_err().to_string();
    assert!(
        line.contains("does not answer: Connection refused"),
        "{line}"
    );
}
