//! Joins over real sockets.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use protocol::{
    id::NodeId,
    member::{NodeRole, Roles},
    wire::{
        hello::PROTOCOL,
        join::{JoinGrant, JoinRefusal, JoinRequest, Seat},
    },
};
use uuid::Uuid;

use super::{Applicant, Desk, Grant, JoinError, Token, digest, request};
use crate::{
    clock::{Clock, Dice, TestClock},
    cluster::transport::testkit::{Founded, Recorder, Running, settings},
};

/// Tokens as a store keeps them, and whether each was used.
type Tokens = Arc<Mutex<HashMap<String, bool>>>;

struct Cluster {
    founded: Arc<Founded>,
    tokens: Tokens,
    running: Running,
}

fn granting(founded: Arc<Founded>, tokens: Tokens) -> Grant {
    Arc::new(move |asked: JoinRequest, _| {
        let (founded, tokens) = (founded.clone(), tokens.clone());
        Box::pin(async move {
            match tokens.lock().unwrap().get_mut(&digest(&asked.secret)) {
                None => return Err(JoinRefusal::UnknownToken),
                Some(true) => return Err(JoinRefusal::UsedToken),
                Some(used) => *used = true,
            }
            let now = Clock::system().now();
            let certified = founded.certify(&asked.csr, &asked.name, NodeRole::Worker, now);
            Ok(JoinGrant {
                certificate: certified.unwrap(),
                authority: founded.authority.certificate_pem().to_owned(),
                cluster: founded.cluster,
                shards: 256,
                peers: vec![Seat {
                    node: NodeId::from_uuid(Uuid::from_u128(1)),
                    name: "c1".to_owned(),
                    address: "127.0.0.1:1".to_owned(),
                }],
                store: None,
                authority_key: Some(founded.authority.key_pem()),
            })
        })
    })
}

impl Cluster {
    async fn start() -> Self {
        let founded = Arc::new(Founded::new(7).unwrap());
        let tokens = Tokens::default();
        let grant = granting(founded.clone(), tokens.clone());
        let clock = Clock::system();
        let desk = Desk::new(PROTOCOL, clock.clone(), grant);
        let identity = founded.identity("c1", NodeRole::Control, clock.now());
        let node = NodeId::from_uuid(Uuid::from_u128(1));
        let mut made = settings(identity.unwrap(), node, Recorder::new().0);
        made.desk = Some(desk);
        let running = Running::start(made).await.unwrap();
        Self {
            founded,
            tokens,
            running,
        }
    }

    fn token(&self) -> Token {
        let token = Token::create(self.founded.authority.fingerprint(), &Dice::system());
        let mut tokens = self.tokens.lock().unwrap();
        tokens.insert(digest(&token.secret()), false);
        token
    }

    async fn refused(&self, token: &Token, applicant: &Applicant, clock: &Clock) -> String {
        let joined = request(&self.running.address, token, applicant, clock).await;
        let line = joined.map(drop).unwrap_err().to_string();
        assert!(!line.contains('\n') && line.contains("; "), "{line}");
        line
    }
}

fn applicant() -> Applicant {
    Applicant {
        name: "w1".to_owned(),
        roles: Roles::from_iter([NodeRole::Worker]),
        protocol: PROTOCOL,
        version: "0.0.0".to_owned(),
        region: String::new(),
        shards: None,
        lease: None,
    }
}

#[tokio::test]
async fn a_token_makes_one_node_of_the_cluster() {
    let cluster = Cluster::start().await;
    let (token, clock) = (cluster.token(), Clock::system());
    let joined = request(&cluster.running.address, &token, &applicant(), &clock)
        .await
        .unwrap();
    assert_eq!(joined.cluster(), cluster.founded.cluster);
    assert_eq!(joined.identity.subject().name, "w1");
    assert_eq!(joined.peers.len(), 1);
    let authority = joined.authority.unwrap();
    assert_eq!(authority.fingerprint(), token.authority());
    let line = cluster.refused(&token, &applicant(), &clock).await;
    assert!(line.contains("used before"), "{line}");
    cluster.running.stop().await;
}

#[tokio::test]
async fn whoever_cannot_join_reads_why_in_one_line() {
    let cluster = Cluster::start().await;
    let clock = Clock::system();
    let unknown = Token::create(cluster.founded.authority.fingerprint(), &Dice::system());
    let line = cluster.refused(&unknown, &applicant(), &clock).await;
    assert!(line.contains("does not know this token"), "{line}");

    let token = cluster.token();
    let off = TestClock::at(clock.now().plus(Duration::from_secs(47))).clock();
    let line = cluster.refused(&token, &applicant(), &off).await;
    assert!(line.contains("clock is 4"), "{line}");

    let mut newer = applicant();
    newer.protocol += 2;
    let line = cluster.refused(&token, &newer, &clock).await;
    assert!(line.contains("speaks version 3"), "{line}");

    // None of them used the token up, but whoever granted other roles than asked is not believed.
    let mut control = applicant();
    control.roles = Roles::from_iter([NodeRole::Control]);
    let line = cluster.refused(&token, &control, &clock).await;
    assert!(line.contains("other roles"), "{line}");
    cluster.running.stop().await;
}

#[tokio::test]
async fn a_token_of_another_cluster_is_told_to_nobody() {
    let cluster = Cluster::start().await;
    let foreign = Founded::new(8).unwrap();
    let token = Token::create(foreign.authority.fingerprint(), &Dice::system());
    // It would be granted, were it sent.
    let sent = digest(&token.secret());
    cluster.tokens.lock().unwrap().insert(sent.clone(), false);
    let line = cluster
        .refused(&token, &applicant(), &Clock::system())
        .await;
    assert!(line.contains("another cluster than the token"), "{line}");
    assert!(!cluster.tokens.lock().unwrap()[&sent]);
    cluster.running.stop().await;
}

#[tokio::test]
async fn whoever_guesses_is_soon_not_listened_to() {
    let cluster = Cluster::start().await;
    let clock = Clock::system();
    let authority = cluster.founded.authority.fingerprint();
    for _ in 0..10 {
        let guess = Token::create(authority, &Dice::system());
        let line = cluster.refused(&guess, &applicant(), &clock).await;
        assert!(line.contains("does not know"), "{line}");
    }
    let good = cluster.token();
    let line = cluster.refused(&good, &applicant(), &clock).await;
    assert!(line.contains("wait a minute"), "{line}");
    cluster.running.stop().await;
}

#[tokio::test]
async fn a_node_without_a_desk_says_whom_to_ask() {
    let founded = Founded::new(7).unwrap();
    let clock = Clock::system();
    let identity = founded.identity("w9", NodeRole::Worker, clock.now());
    let node = NodeId::from_uuid(Uuid::from_u128(9));
    let running = Running::start(settings(identity.unwrap(), node, Recorder::new().0))
        .await
        .unwrap();
    let token = Token::create(founded.authority.fingerprint(), &Dice::system());
    let joined = request(&running.address, &token, &applicant(), &clock).await;
    let unable = joined.map(drop).unwrap_err();
    let JoinError::Refused(JoinRefusal::Unable { reason }) = unable else {
        panic!("{unable}");
    };
    assert!(reason.contains("ask one that has the role"), "{reason}");
    running.stop().await;
}
