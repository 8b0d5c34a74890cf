//! Links come, fall silent, are replaced and refused.

use protocol::wire::{Hello, Lane};

use super::*;
use crate::cluster::PeerState;

#[tokio::test(start_paused = true)]
async fn an_idle_link_stays_and_tells_its_round_trip() {
    let pair = Pair::new(Tuning::default()).await;
    pair.network.inject(crate::cluster::memory::Faults {
        delay: SECOND / 10..=SECOND / 10,
        ..Default::default()
    });
    let mut events = pair.a.watch();
    tokio::time::timeout(SECOND * 3600, events.recv())
        .await
        .unwrap_err();
    let view = &pair.a.peers_view()[0];
    assert_eq!(view.state, PeerState::Up);
    let rtt = view.rtt.unwrap();
    assert!(rtt >= SECOND / 5 && rtt < SECOND / 4, "{rtt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_suspect_and_then_down() {
    let pair = Pair::new(Tuning::default()).await;
    let mut events = pair.a.watch();
    pair.network.cut(pair.b.me(), pair.a.me());
    let four = SECOND * 4;
    tokio::time::timeout(four, events.recv()).await.unwrap_err();
    assert_eq!(pair.a.peers_view()[0].state, PeerState::Suspect);
    assert_eq!(pair.b.peers_view()[0].state, PeerState::Up);
    let start = tokio::time::Instant::now();
    assert_eq!(down(&mut events).await, pair.b.me());
    let after = start.elapsed();
    assert!(after >= SECOND * 5 && after <= SECOND * 8, "{after:?}");
    assert!(pair.a.peers().is_empty());
}

/// Lets time pass in which no peer comes or goes.
async fn quiet(events: &mut broadcast::Receiver<PeerEvent>, span: Duration) {
    tokio::time::timeout(span, events.recv()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn it_is_known_within_half_a_heartbeat_when_a_peer_fell_silent() {
    for tenths in 20..30 {
        let pair = Pair::new(Tuning::default()).await;
        let mut events = pair.a.watch();
        quiet(&mut events, SECOND * tenths / 10).await;
        pair.network.cut(pair.b.me(), pair.a.me());
        let cut = tokio::time::Instant::now();
        let off = || pair.a.silent(pair.b.me()).unwrap().abs_diff(cut.elapsed());
        quiet(&mut events, SECOND).await;
        let early = off();
        // As well when it was given up long after.
        assert_eq!(down(&mut events).await, pair.b.me());
        for off in [early, off()] {
            assert!(off <= SECOND / 2, "{off:?} off, cut after {tenths} tenths");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_link_takes_the_place_of_the_former() {
    let pair = Pair::new(Tuning::default()).await;
    pair.b.serve(SERVICE, echo());
    pair.link().await;
    assert_eq!(pair.ask(b"1").await, Ok(b"1".to_vec()));
    // The former was closed, not this one.
    let mut events = pair.a.watch();
    tokio::time::timeout(SECOND * 60, events.recv())
        .await
        .unwrap_err();
    assert_eq!(pair.ask(b"2").await, Ok(b"2".to_vec()));
    assert_eq!((pair.a.peers().len(), pair.b.peers().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn both_ends_keep_the_same_of_two_links_whatever_order_they_saw() {
    // Each end opened another one first; the lesser id decides: for node 1, turns are its own.
    let (one, two) = (Mesh::new(node(1)), Mesh::new(node(2)));
    let (mut x_one, mut y_one) = (raw(&one, 2), raw(&one, 2));
    let (mut y_two, mut x_two) = (raw(&two, 1), raw(&two, 1));
    one.received(&y_one.link, hello_frame(0));
    one.received(&x_one.link, hello_frame(1));
    two.received(&x_two.link, hello_frame(0));
    two.received(&y_two.link, hello_frame(1));
    assert!(x_one.closed.try_recv().is_ok() && x_two.closed.try_recv().is_ok());
    assert!(y_one.closed.try_recv().is_err() && y_two.closed.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn garbage_closes_its_link_and_nothing_else() {
    let pair = Pair::new(Tuning::default()).await;
    pair.b.serve(SERVICE, echo());
    for garbage in [
        vec![],
        vec![9, 9, 9],
        vec![1, 0],
        b"GET / HTTP/1.1".to_vec(),
    ] {
        let mut first = raw(&pair.b, 3);
        pair.b.received(&first.link, garbage.clone());
        first.closed.try_recv().unwrap();
        let mut later = raw(&pair.b, 3);
        pair.b.received(&later.link, hello_frame(0));
        pair.b
            .received(&later.link, [garbage, vec![0xff; 5]].concat());
        later.closed.try_recv().unwrap();
    }
    assert_eq!(pair.ask(b"well?").await, Ok(b"well?".to_vec()));
    assert_eq!(pair.b.peers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_frame_counts_when_its_end_is_garbage() {
    let mesh = Mesh::new(node(1));
    let (handler, mut ears) = ears();
    mesh.serve(OTHER, handler);
    let mut raw = raw(&mesh, 2);
    mesh.received(&raw.link, hello_frame(0));
    let mut bulk = frame::Bulk::new(Lane::tells(OTHER), 1, 0);
    bulk.push(&protocol::wire::Envelope::Tell {
        service: OTHER,
        trace: None,
        payload: b"first",
    });
    let frame = [bulk.into_bytes(), vec![0xff]].concat();
    mesh.received(&raw.link, frame);
    raw.closed.try_recv().unwrap();
    tokio::task::yield_now().await;
    assert!(ears.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn another_version_is_refused_with_its_reason() {
    let mesh = Mesh::new(node(1));
    let mut raw = raw(&mesh, 2);
    let strange = Hello {
        version: WIRE_VERSION + 2,
        ..hello(0)
    };
    mesh.received(&raw.link, frame::hello(&strange));
    let reason = raw.closed.try_recv().unwrap();
    let expected = format!("it speaks version {} of the mesh", WIRE_VERSION + 2);
    assert!(reason.starts_with(&expected), "{reason}");
    assert!(mesh.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_hello_is_closed() {
    let mesh = Mesh::new(node(1));
    let mut raw = raw(&mesh, 2);
    let start = tokio::time::Instant::now();
    let reason = raw.closed.recv().await.unwrap();
    assert!(reason.contains("nothing was heard"), "{reason}");
    assert!(start.elapsed() <= SECOND * 11);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_takes_its_links_along() {
    let pair = Pair::new(Tuning::default()).await;
    let mut events = pair.a.watch();
    pair.b.leave("it stops");
    assert_eq!(down(&mut events).await, pair.b.me());
    assert!(pair.b.peers().is_empty());
}
