//! Slow, broken, hostile and very many clients; TLS; the end of a node.

use std::{path::Path, time::Duration};

use protocol::time::Span;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use troupe::edge::config::TlsFiles;

use super::support::{ADMIN, Node, Start, bind, rest};

fn impatient() -> Start {
    let mut start = Start::default();
    let short = Span(Duration::from_millis(200));
    start.config.header_timeout = short;
    start.config.body_timeout = short;
    start.config.idle_timeout = short;
    start
}

#[tokio::test]
async fn a_client_that_does_not_send_a_request_is_cut() {
    let node = Node::start_with(impatient()).await;
    for start in [
        "",
        "G",
        "PRI * HTTP/2.0\r\n",
        "GET /health HTTP/1.1\r\nHost: local",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_not_used_any_more_is_cut() {
    let node = Node::start_with(impatient()).await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_body_that_does_not_come_times_out() {
    let node = Node::start_with(impatient()).await;
    let request = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"des"
    );
    let answer = node.raw(request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"),
        "{answer}"
    );
}

#[tokio::test]
async fn slow_clients_do_not_keep_others_waiting() {
    let node = Node::start().await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nX-Slow: ")
            .await
            .unwrap();
        slow.push(stream);
    }
    for _ in 0..20 {
        let asked = tokio::time::timeout(Duration::from_secs(1), node.get("/health")).await;
        assert_eq!(asked.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_connection_beyond_the_cap_waits_for_another_to_end() {
    let mut start = Start::default();
    start.config.max_connections = 1;
    let node = Node::start_with(start).await;
    let mut first = TcpStream::connect(node.address).await.unwrap();
    first
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();

    let mut second = TcpStream::connect(node.address).await.unwrap();
    second
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "the second was served beside the first");
    drop(first);
    assert!(rest(&mut second).await.contains("testnode"));
}

#[tokio::test]
async fn a_request_with_two_lengths_smuggles_nothing() {
    let node = Node::start().await;
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n"
    );
    let smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        let answer = node
            .raw(format!("{head}{lengths}\r\n0\r\n\r\n{smuggled}").as_bytes())
            .await;
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{lengths}: {answer}"
        );
        assert!(answer.starts_with("HTTP/1.1 4"), "{lengths}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let node = Node::start().await;
    let long = format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
        "x".repeat(32 * 1024)
    );
    let answer = node.raw(long.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    assert_eq!(node.get("/health").await.status, 200);
}

#[tokio::test]
async fn http_2_is_spoken() {
    let node = Node::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let response = client
        .get(format!("{}/health", node.url))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, reqwest::Version::HTTP_2)
    );
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let node = Node::start().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\nX\r\n\r\n",
    ] {
        node.raw(garbage).await;
    }
    assert_eq!(node.get("/health").await.status, 200);
}

fn with_tls() -> Start {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls");
    let mut start = Start::default();
    start.config.tls = Some(TlsFiles {
        cert: files.join("cert.pem"),
        key: files.join("key.pem"),
    });
    start
}

fn tls_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
}

#[tokio::test]
async fn tls_is_spoken_and_nothing_below_1_3() {
    let node = Node::start_with(with_tls()).await;
    assert!(node.url.starts_with("https://127.0.0.1:"), "{}", node.url);
    let url = format!("{}/health", node.url);
    let response = tls_client()
        .build()
        .unwrap()
        .get(&url)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, reqwest::Version::HTTP_2)
    );
    assert!(response.headers().contains_key("strict-transport-security"));

    let old = tls_client()
        .tls_version_max(reqwest::tls::Version::TLS_1_2)
        .build()
        .unwrap();
    assert!(old.get(&url).send().await.is_err());
    let plain = node
        .raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(plain.starts_with("HTTP/1.1 426 "), "{plain}");
    assert!(plain.ends_with("use https://"), "{plain}");
}

#[tokio::test]
async fn who_requires_tls_serves_no_plain_http_even_on_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let mut start = Start::default();
    start.config.require_tls = true;
    let error = bind(&start, dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("`cert` and `key`"), "{error}");
    let mut start = with_tls();
    start.config.require_tls = true;
    let node = Node::start_with(start).await;
    assert!(node.url.starts_with("https://"), "{}", node.url);
}

#[tokio::test]
async fn with_tls_a_node_may_be_reached_by_others() {
    let mut start = with_tls();
    start.config.listen = "0.0.0.0:0".parse().unwrap();
    start.config.hosts = vec!["localhost".to_owned()];
    let node = Node::start_with(start).await;
    assert!(node.url.starts_with("https://localhost:"), "{}", node.url);
    let answer = tls_client()
        .build()
        .unwrap()
        .get(format!("{}/health", node.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn a_certificate_that_is_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut start = with_tls();
    for wrong in ["absent.pem", "empty.pem"] {
        std::fs::write(dir.path().join("empty.pem"), "").unwrap();
        if let Some(tls) = &mut start.config.tls {
            tls.cert = dir.path().join(wrong);
        }
        let error = bind(&start, dir.path()).await.unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn a_node_that_stops_ends_idle_connections_at_once() {
    let node = Node::start().await;
    let mut idle = TcpStream::connect(node.address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    idle.read_exact(&mut [0]).await.unwrap();
    let address = node.address;
    tokio::time::timeout(Duration::from_secs(5), node.stop())
        .await
        .unwrap();
    rest(&mut idle).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_node_that_stops_says_so_with_an_answer_to_those_that_keep_connections() {
    let mut node = Node::start().await;
    let request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (mut kept, mut begun) = (
        TcpStream::connect(node.address).await.unwrap(),
        TcpStream::connect(node.address).await.unwrap(),
    );
    kept.write_all(request).await.unwrap();
    kept.read_exact(&mut [0; 16]).await.unwrap();
    node.begin_stop();
    // Another one is told that the node stops: so it has heard that it shall.
    while !one_more(&node).await.starts_with("HTTP/1.1 503") {}
    for stream in [&mut kept, &mut begun] {
        stream.write_all(request).await.unwrap();
        let rest = rest(stream).await;
        assert!(rest.contains("HTTP/1.1 503"), "{rest}");
        assert!(rest.contains("connection: close"), "{rest}");
    }
    node.stop().await;
}

/// Asks over a connection of its own whether the node takes work.
async fn one_more(node: &Node) -> String {
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_node_that_stops_waits_for_a_request_but_not_for_ever() {
    let request = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n["
    );
    for (drain, finishes) in [
        (Duration::from_secs(20), true),
        (Duration::from_millis(50), false),
    ] {
        let mut node = Node::start_with(Start {
            drain,
            ..Start::default()
        })
        .await;
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Another request goes through after the first has been accepted.
        node.get("/health").await;
        node.begin_stop();
        if finishes {
            stream.write_all(b"]").await.unwrap();
            assert!(rest(&mut stream).await.starts_with("HTTP/1.1 422 "));
        }
        tokio::time::timeout(Duration::from_secs(5), node.stop())
            .await
            .unwrap();
        assert_eq!(rest(&mut stream).await, "");
    }
}
