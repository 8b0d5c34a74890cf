//! Nobody holds more for a peer than its window and its queue, and nobody waits for another's lane.

use protocol::wire::{Lane, Signal, frame::Frame};
use tokio::sync::Semaphore;

use super::*;
use crate::cluster::{Limits, MAX_PAYLOAD};

fn number(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_heard_in_order() {
    let pair = Pair::new(Tuning::default()).await;
    let (handler, mut ears) = ears();
    pair.b.serve(SERVICE, handler);
    for n in 0..1000 {
        pair.tell(SERVICE, &number(n)).unwrap();
        if n % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for n in 0..1000 {
        assert_eq!(ears.recv().await.unwrap(), number(n));
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_peer_makes_nobody_hold_more_than_window_and_queue() {
    let limits = Limits {
        window_bytes: 600 * 1024,
        queue_bytes: 600 * 1024,
        ..Limits::default()
    };
    let tuning = Tuning {
        limits,
        ..Tuning::default()
    };
    let pair = Pair::new(tuning).await;
    let (handler, mut ears) = ears();
    pair.b.serve(SERVICE, handler);
    pair.network.isolate(pair.b.me());
    let mut taken = 0;
    for n in 0..10_000 {
        let payload = [&number(n)[..], &[0; 10_000]].concat();
        match pair.tell(SERVICE, &payload) {
            Ok(()) => taken += 1,
            Err(fault) => assert_eq!(fault, Fault::Overloaded(node(2))),
        }
        let view = &pair.a.peers_view()[0];
        assert!(
            view.queued_bytes <= 600 * 1024 && view.flying_bytes <= 600 * 1024,
            "{view:?}"
        );
        tokio::task::yield_now().await;
    }
    // 61 of them wait; those under way depend on how fast the link was found to be.
    assert!((90..=122).contains(&taken), "{taken} were taken");
    pair.network.heal();
    for n in 0..taken {
        let heard = ears.recv().await.unwrap();
        assert!(heard.starts_with(&number(n)));
    }
    assert_eq!(pair.a.peers_view()[0].queued, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_holds_up_neither_calls_nor_other_services() {
    let limits = Limits {
        window: 8,
        queue: 8,
        ..Limits::default()
    };
    let tuning = Tuning {
        limits,
        ..Tuning::default()
    };
    let pair = Pair::new(tuning).await;
    let gate = Arc::new(Semaphore::new(0));
    let slow = {
        let gate = gate.clone();
        handler(move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(Vec::new())
            }
        })
    };
    pair.b.serve(OTHER, slow);
    let (handler, mut ears) = ears();
    pair.b.serve(Service::TASK, handler);
    pair.b.serve(SERVICE, echo());
    let mut told = 0;
    while pair.tell(OTHER, b"slow").is_ok() {
        told += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(told, 16);
    assert_eq!(pair.ask(b"quick").await, Ok(b"quick".to_vec()));
    pair.tell(Service::TASK, b"quick").unwrap();
    assert_eq!(ears.recv().await.unwrap(), b"quick");
    // With some heard, there is room again.
    gate.add_permits(told);
    while pair.tell(OTHER, b"slow").is_err() {
        tokio::time::advance(SECOND / 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_never_sent_is_known_not_to_have_happened() {
    let limits = Limits {
        window: 4,
        ..Limits::default()
    };
    let tuning = Tuning {
        limits,
        ..Tuning::default()
    };
    let pair = Pair::new(tuning).await;
    pair.b.serve(SERVICE, echo());
    pair.network.isolate(pair.b.me());
    let asks = (0..6).map(|n| {
        let (a, b) = (pair.a.clone(), pair.b.me());
        tokio::spawn(async move { a.ask(b, SERVICE, vec![n], SECOND * 60).await })
    });
    let asks: Vec<_> = asks.collect();
    while pair.a.peers_view()[0].queued != 2 {
        tokio::task::yield_now().await;
    }
    pair.network.sever(pair.a.me(), pair.b.me());
    let mut outcomes = Vec::new();
    for ask in asks {
        outcomes.push(ask.await.unwrap().unwrap_err());
    }
    let lost = outcomes
        .iter()
        .filter(|fault| **fault == Fault::Lost(node(2)));
    assert_eq!(lost.count(), 4);
    let certain = outcomes.iter().filter(|fault| fault.nothing_happened());
    assert_eq!(certain.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_wait_in_one_frame_and_one_goes_at_once() {
    let mesh = Mesh::new(node(1));
    let mut raw = raw(&mesh, 2);
    mesh.received(&raw.link, hello_frame(0));
    for _ in 0..64 {
        mesh.tell(node(2), OTHER, vec![0; 100]).unwrap();
    }
    let mut sizes = Vec::new();
    while let Ok(frame) = raw.frames.try_recv() {
        if let Frame::Bulk { envelopes, .. } = Frame::read(&frame).unwrap() {
            sizes.push(envelopes.count());
        }
    }
    assert_eq!(sizes, [64]);
    mesh.received(
        &raw.link,
        frame::signals(&[Signal::Done {
            lane: Lane::tells(OTHER),
            number: 1,
        }]),
    );
    let asked = mesh.ask(node(2), SERVICE, vec![1], SECOND);
    let seen = async {
        let frame = raw.frames.recv().await.unwrap();
        matches!(Frame::read(&frame), Ok(Frame::Bulk { .. }))
    };
    tokio::select! {
        biased;
        _ = asked => panic!("nobody answers"),
        seen = seen => assert!(seen),
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_beyond_its_window_is_closed() {
    let mesh = Mesh::new(node(1));
    let (slow, _kept) = (handler(|_| std::future::pending()), ());
    mesh.serve(OTHER, slow);
    let mut raw = raw(&mesh, 2);
    mesh.received(&raw.link, hello_frame(0));
    let payload = vec![0; MAX_PAYLOAD];
    for n in 1..=9 {
        let mut bulk = frame::Bulk::new(Lane::tells(OTHER), n, 0);
        bulk.push(&protocol::wire::Envelope::Tell {
            service: OTHER,
            trace: None,
            payload: &payload,
        });
        mesh.received(&raw.link, bulk.into_bytes());
    }
    let reason = raw.closed.try_recv().unwrap();
    assert!(reason.contains("more than its window"), "{reason}");
}

/// How many bytes go out before a mesh waits to hear that some are done with.
fn flying(mesh: &Mesh) -> usize {
    while mesh.tell(node(2), OTHER, vec![0; 50_000]).is_ok() {}
    mesh.peers_view()[0].flying_bytes
}

#[tokio::test(start_paused = true)]
async fn more_goes_out_on_a_link_that_was_found_to_be_fast() {
    let mesh = Mesh::new(node(1));
    let raw = raw(&mesh, 2);
    let wide = Hello {
        window: 10_000,
        window_bytes: 4 * 1024 * 1024,
        ..hello(0)
    };
    mesh.received(&raw.link, frame::hello(&wide));
    let first = flying(&mesh);
    let echo = frame::signals(&[Signal::Echo { sent_us: 0 }]);
    mesh.received(&raw.link, echo);
    let fast = flying(&mesh);
    assert!(first < 400 * 1024 && fast > 500 * 1024, "{first} {fast}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_done_with_what_was_never_sent_is_closed() {
    let mesh = Mesh::new(node(1));
    let mut raw = raw(&mesh, 2);
    mesh.received(&raw.link, hello_frame(0));
    mesh.tell(node(2), OTHER, vec![0]).unwrap();
    let done = Signal::Done {
        lane: Lane::tells(OTHER),
        number: u64::MAX,
    };
    mesh.received(&raw.link, frame::signals(&[done]));
    let reason = raw.closed.try_recv().unwrap();
    assert!(reason.contains("never sent"), "{reason}");
}
