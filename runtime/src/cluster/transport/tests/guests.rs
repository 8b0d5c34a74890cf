//! Nodes with certificates: who is let in, and what the others are told.

use std::{sync::Arc, time::Duration};

use protocol::{
    id::NodeId,
    member::{NodeRole, Roles},
    time::Timestamp,
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use uuid::Uuid;

use super::{greet, guest, hello, host, node_id, now};
use crate::cluster::{
    identity::Identity,
    transport::{
        DialError,
        testkit::{Founded, Recorder, Running, settings},
    },
};

/// TLS of a client that trusts `trusted` and shows whatever it holds.
fn client(trusted: &Founded, shown: Option<(&str, &str)>, old: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = trusted.authority.certificate_pem().as_bytes();
    roots
        .add(CertificateDer::from_pem_slice(authority).unwrap())
        .unwrap();
    let versions = if old { [&TLS12] } else { [&TLS13] };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((key, certificate)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"troupe-mesh/1".to_vec()];
    Arc::new(config)
}

fn certified(founded: &Founded, at: Timestamp) -> (String, String) {
    let request = Identity::request("w1").unwrap();
    let certificate = founded.certify(&request.csr, "w1", NodeRole::Worker, at);
    (request.key, certificate.unwrap())
}

#[tokio::test]
async fn a_node_of_the_cluster_is_welcome() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let identity = guest(&founded);
    let greeted = greet(
        &running.address,
        identity.client(),
        &hello(identity.subject()),
    )
    .await;
    let (_, other) = greeted.unwrap();
    assert_eq!((other.name.as_str(), other.node), ("c1", node_id(1)));
    assert_eq!(other.mesh.as_ref(), Some(&running.address));
    running.stop().await;
}

#[tokio::test]
async fn whoever_says_something_else_than_its_certificate_or_the_cluster_is_told_why() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let identity = guest(&founded);
    let said = hello(identity.subject());
    type Change = fn(&mut protocol::wire::hello::Hello);
    let cases: [(Change, &str); 7] = [
        (
            |h| h.name = "c9".to_owned(),
            "says that it is `c9` and its certificate that it is `w1`",
        ),
        (
            |h| h.roles = Roles::from_iter([NodeRole::Control]),
            "has the roles control",
        ),
        (|h| h.protocol += 2, "version 3"),
        (|h| h.shards = 32, "32"),
        (|h| h.now = h.now.plus(Duration::from_secs(47)), "s apart"),
        (|h| h.cluster = Uuid::from_u128(9), "different clusters"),
        (
            |h| h.node = NodeId::from_uuid(Uuid::from_u128(1)),
            "dialled itself",
        ),
    ];
    for (change, words) in cases {
        let mut said = said.clone();
        change(&mut said);
        let refused = greet(&running.address, identity.client(), &said).await;
        let line = refused.map(drop).unwrap_err().to_string();
        assert!(line.contains(words) && !line.contains('\n'), "{line}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_neighbouring_version_is_spoken_with() {
    let founded = Founded::new(7).unwrap();
    let running = host(&founded).await;
    let identity = guest(&founded);
    let mut said = hello(identity.subject());
    said.protocol += 1;
    assert!(
        greet(&running.address, identity.client(), &said)
            .await
            .is_ok()
    );
    running.stop().await;
}

#[tokio::test]
async fn a_revoked_identity_hears_so_in_words() {
    let founded = Founded::new(7).unwrap();
    let identity = founded.identity("c1", NodeRole::Control, now()).unwrap();
    let (recorder, _) = Recorder::new();
    let mut made = settings(identity, node_id(1), recorder);
    made.admit = Arc::new(|_, subject| Err(format!("`{}` was removed; join again", subject.name)));
    let running = Running::start(made).await.unwrap();
    let identity = guest(&founded);
    let refused = greet(
        &running.address,
        identity.client(),
        &hello(identity.subject()),
    )
    .await;
    let line = refused.map(drop).unwrap_err().to_string();
    assert!(line.ends_with(": `w1` was removed; join again"), "{line}");
    running.stop().await;
}

#[tokio::test]
async fn a_certificate_that_does_not_count_is_refused_for_its_own_reason() {
    let (founded, foreign) = (Founded::new(7).unwrap(), Founded::new(8).unwrap());
    let running = host(&founded).await;
    let address = running.address.clone();
    let said = hello(guest(&founded).subject());

    let stranger = guest(&foreign);
    let dialled = greet(&address, stranger.client(), &said).await.map(drop);
    assert_eq!(
        dialled,
        Err(DialError::ForeignNode {
            address: address.clone()
        })
    );

    let (key, certificate) = certified(&foreign, now());
    let config = client(&founded, Some((&key, &certificate)), false);
    let dialled = greet(&address, config, &said).await.map(drop);
    assert_eq!(
        dialled,
        Err(DialError::ForeignSelf {
            address: address.clone()
        })
    );

    let long_ago = Timestamp::from_micros(now().as_micros() - 3 * 86_400_000_000);
    let (key, certificate) = certified(&founded, long_ago);
    let config = client(&founded, Some((&key, &certificate)), false);
    let dialled = greet(&address, config, &said).await.map(drop);
    assert_eq!(
        dialled,
        Err(DialError::ExpiredSelf {
            address: address.clone()
        })
    );

    let dialled = greet(&address, client(&founded, None, false), &said).await;
    let line = dialled.map(drop).unwrap_err().to_string();
    assert!(line.contains("no certificate was shown"), "{line}");

    let old = client(&founded, None, true);
    let dialled = greet(&address, old, &said).await.map(drop);
    assert!(
        matches!(dialled, Err(DialError::Stranger { .. })),
        "{dialled:?}"
    );
    running.stop().await;
}
