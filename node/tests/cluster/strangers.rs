//! Connections to the mesh port of a node that mean no good, and machines that may not join.

use std::{process::Command, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::machines::Cluster;

/// Connections that say nothing.
const SILENT: usize = 20;

/// How long the node may let them.
const CLOSED: Duration = Duration::from_secs(10);

/// Garbage, lengths that nothing has, silence; and a real node joins meanwhile.
pub(crate) async fn knock(cluster: &mut Cluster) {
    let mesh = cluster.machine("c1").mesh().to_owned();
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(&mesh).await.unwrap();
        if number % 2 == 0 {
            // A handshake that stalls: the head of a record, and no more.
            stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        }
        silent.push(stream);
    }
    let mut loud = tokio::task::JoinSet::new();
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: troupe\r\n\r\n".to_vec(),
        vec![0xa5; 1 << 20],
        (1_u64 << 40).to_be_bytes().repeat(4),
    ] {
        let mesh = mesh.clone();
        loud.spawn(async move {
            let mut stream = TcpStream::connect(mesh).await.unwrap();
            // It may be closed before all is written.
            let _ = stream.write_all(&bytes).await;
            is_closed(stream).await;
        });
    }
    let took = cluster.add("w3", "worker").await;
    println!("   a node joined in {took:?}, past {SILENT} silent connections");
    assert!(took < Duration::from_secs(5), "it took {took:?} to join");
    while let Some(ended) = loud.join_next().await {
        ended.unwrap();
    }
    for stream in silent {
        is_closed(stream).await;
    }
    cluster.until_whole().await;
    refused(cluster).await;
    cluster.machine("w3").terminate().await;
    cluster.machines.pop();
    cluster.until_whole().await;
}

/// Reads until the node closes, however it does that.
async fn is_closed(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    let reading = async { while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {} };
    let closed = timeout(CLOSED, reading).await;
    assert!(closed.is_ok(), "it was left open");
}

/// Each is told in one line what is wrong.
async fn refused(cluster: &mut Cluster) {
    let spent = cluster.token().await;
    let (good, mesh) = (
        cluster.token().await,
        cluster.machine("c1").mesh().to_owned(),
    );
    let foreign = format!("{}.{}", &good[..good.find('.').unwrap()], "ab".repeat(32));
    let unknown = format!(
        "troupe_join_{}{}",
        "cd".repeat(32),
        &good[good.find('.').unwrap()..]
    );
    let join_set = |token: &str, name: &str, settings: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_troupe"));
        command
            .args([
                "start",
                "--roles",
                "worker",
                "--mesh",
                "127.0.0.1:0",
                "--join",
                &mesh,
            ])
            .args(["--token", token, "--name", name, "--data-dir"])
            .arg(folder.path())
            .envs(settings.iter().copied());
        let ended = command.output().unwrap();
        assert!(!ended.status.success(), "{name} was let in");
        let said = String::from_utf8(ended.stderr).unwrap();
        let error = said.lines().find(|line| line.starts_with("error: "));
        error.unwrap_or(&said).to_owned()
    };
    let join = |token: &str, name: &str| join_set(token, name, &[]);
    let used = {
        cluster.spend(&spent).await;
        join(&spent, "w9")
    };
    for (said, expected) in [
        (join("nonsense", "w9"), "no join token"),
        (join(&unknown, "w9"), "token"),
        (used, "used"),
        (join(&foreign, "w9"), "another cluster"),
        (join(&good, "w3"), "w3"),
        (
            join_set(&good, "w9", &[("TROUPE_CLUSTER__SHARDS", "32")]),
            "founded with 256",
        ),
        (
            join_set(&good, "w9", &[("TROUPE_CLUSTER__LEASE", "9s")]),
            "set `cluster.lease = \"4s\"`",
        ),
    ] {
        println!("   refused: {}", said.trim());
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
}
