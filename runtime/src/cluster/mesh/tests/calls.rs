//! Requests have one outcome each.

use std::sync::Arc;

use protocol::wire::{Envelope, Lane, Trace, frame::Frame};
use tokio::sync::mpsc;

use super::*;
use crate::cluster::{Limits, MAX_PAYLOAD, current_trace, traced};

/// Tells a channel when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Never answers; says when it started and when it was dropped.
fn stuck() -> (
    Handler,
    mpsc::UnboundedReceiver<()>,
    mpsc::UnboundedReceiver<()>,
) {
    let (starts, started) = mpsc::unbounded_channel();
    let (ends, ended) = mpsc::unbounded_channel();
    let handler = handler(move |_| {
        let (starts, guard) = (starts.clone(), Dropped(ends.clone()));
        async move {
            let _guard = guard;
            starts.send(()).unwrap();
            std::future::pending().await
        }
    });
    (handler, started, ended)
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_back_from_whom_it_was_asked() {
    let pair = Pair::new(Tuning::default()).await;
    let name = handler(|incoming| async move { Ok(incoming.from.name.clone().into_bytes()) });
    pair.b.serve(SERVICE, name);
    assert_eq!(pair.ask(b"who am I?").await, Ok(b"n1".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_offered_is_said_to_be_so() {
    let pair = Pair::new(Tuning::default()).await;
    assert_eq!(pair.ask(b"").await, Err(Fault::NoService(node(2))));
    let nobody = pair.a.ask(node(3), SERVICE, vec![], SECOND).await;
    assert_eq!(nobody, Err(Fault::Unreachable(node(3))));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_the_handler() {
    let pair = Pair::new(Tuning::default()).await;
    let (handler, _started, mut ended) = stuck();
    pair.b.serve(SERVICE, handler);
    let start = tokio::time::Instant::now();
    assert_eq!(pair.ask(b"").await, Err(Fault::Deadline(node(2))));
    assert!(start.elapsed() < SECOND * 2);
    ended.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_ends_by_its_deadline_though_its_asker_says_nothing() {
    let pair = Pair::new(Tuning::default()).await;
    let (handler, mut started, mut ended) = stuck();
    pair.b.serve(SERVICE, handler);
    let asked = tokio::spawn({
        let (a, b) = (pair.a.clone(), pair.b.me());
        async move { a.ask(b, SERVICE, vec![], SECOND).await }
    });
    started.recv().await.unwrap();
    pair.network.isolate(node(1));
    ended.recv().await.unwrap();
    assert_eq!(asked.await.unwrap(), Err(Fault::Deadline(node(2))));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_drops_its_handler() {
    let pair = Pair::new(Tuning::default()).await;
    let (handler, mut started, mut ended) = stuck();
    pair.b.serve(SERVICE, handler);
    let asked = tokio::spawn({
        let (a, b) = (pair.a.clone(), pair.b.me());
        async move { a.ask(b, SERVICE, vec![], SECOND * 1000).await }
    });
    started.recv().await.unwrap();
    asked.abort();
    let start = tokio::time::Instant::now();
    ended.recv().await.unwrap();
    assert!(start.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_refuses() {
    let pair = Pair::new(Tuning::default()).await;
    pair.b
        .serve(SERVICE, handler(|_| async { panic!("on its way") }));
    let words = "its handler panicked: on its way".to_owned();
    assert_eq!(pair.ask(b"").await, Err(Fault::Refused(words)));
    pair.b.serve(SERVICE, Arc::new(|_| panic!("at once")));
    let words = "its handler panicked: at once".to_owned();
    assert_eq!(pair.ask(b"").await, Err(Fault::Refused(words)));
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_is_rejected_at_the_sender_and_the_link_stays() {
    let pair = Pair::new(Tuning::default()).await;
    pair.b.serve(SERVICE, echo());
    let size = MAX_PAYLOAD + 1;
    let too_large = Fault::TooLarge {
        size,
        limit: MAX_PAYLOAD,
    };
    assert_eq!(pair.ask(&vec![0; size]).await, Err(too_large.clone()));
    assert_eq!(pair.tell(SERVICE, &vec![0; size]), Err(too_large));
    let largest = vec![7; MAX_PAYLOAD];
    assert_eq!(pair.ask(&largest).await, Ok(largest));
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_large_is_a_fault() {
    let pair = Pair::new(Tuning::default()).await;
    let size = MAX_PAYLOAD + 1;
    pair.b
        .serve(SERVICE, handler(move |_| async move { Ok(vec![0; size]) }));
    let too_large = Fault::TooLarge {
        size,
        limit: MAX_PAYLOAD,
    };
    assert_eq!(pair.ask(b"").await, Err(too_large));
}

#[tokio::test(start_paused = true)]
async fn handlers_beyond_their_limit_are_turned_away() {
    let limits = Limits {
        handlers: 2,
        ..Limits::default()
    };
    let pair = Pair::new(Tuning {
        limits,
        ..Tuning::default()
    })
    .await;
    let (handler, _started, _ended) = stuck();
    pair.b.serve(SERVICE, handler);
    let (first, second, third) = tokio::join!(pair.ask(b"1"), pair.ask(b"2"), pair.ask(b"3"));
    let late = Err(Fault::Deadline(node(2)));
    assert_eq!((first, second), (late.clone(), late));
    assert_eq!(third, Err(Fault::Overloaded(node(2))));
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_says_what_may_have_happened() {
    let pair = Pair::new(Tuning::default()).await;
    let (handler, mut started, mut ended) = stuck();
    pair.b.serve(SERVICE, handler);
    let sever = async {
        started.recv().await.unwrap();
        pair.network.sever(node(1), node(2));
    };
    let (asked, ()) = tokio::join!(pair.ask(b""), sever);
    assert_eq!(asked, Err(Fault::Lost(node(2))));
    ended.recv().await.unwrap();
    assert_eq!(pair.ask(b"").await, Err(Fault::Unreachable(node(2))));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_a_third_node_comes_back_as_it_is() {
    let pair = Pair::new(Tuning::default()).await;
    let faults = [
        Fault::Unreachable(node(3)),
        Fault::Lost(node(3)),
        Fault::Deadline(node(3)),
        Fault::Overloaded(node(3)),
        Fault::TooLarge { size: 2, limit: 1 },
        Fault::NoService(node(3)),
        Fault::Refused("no".to_owned()),
    ];
    for fault in faults {
        let expected = fault.clone();
        pair.b.serve(
            SERVICE,
            handler(move |_| std::future::ready(Err(fault.clone()))),
        );
        assert_eq!(pair.ask(b"").await, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_follows_a_request() {
    let pair = Pair::new(Tuning::default()).await;
    let seen = handler(|_| async { Ok(format!("{:?}", current_trace()).into_bytes()) });
    pair.b.serve(SERVICE, seen);
    let trace = Some(Trace {
        trace: [1; 16],
        span: [2; 8],
        flags: 1,
    });
    let seen = traced(trace, pair.ask(b"")).await;
    assert_eq!(seen, Ok(format!("{trace:?}").into_bytes()));
    assert_eq!(pair.ask(b"").await, Ok(b"None".to_vec()));
}

/// The answers among the frames that a stranger was sent, by their requests.
fn answers(raw: &mut Raw) -> Vec<u64> {
    let mut answered = Vec::new();
    while let Ok(frame) = raw.frames.try_recv() {
        if let Frame::Bulk { envelopes, .. } = Frame::read(&frame).unwrap() {
            answered.extend(envelopes.filter_map(|envelope| match envelope.unwrap() {
                Envelope::Reply { id, .. } => Some(id),
                Envelope::Request { .. }
                | Envelope::Fault { .. }
                | Envelope::Tell { .. }
                | Envelope::Cancel { .. } => None,
            }));
        }
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_alone_is_answered_at_once_unless_its_handler_waits() {
    let mesh = Mesh::new(node(1));
    mesh.serve(SERVICE, echo());
    let (go, gone) = tokio::sync::watch::channel(());
    let slow = handler(move |incoming| {
        let mut gone = gone.clone();
        async move {
            gone.changed().await.unwrap();
            Ok(incoming.payload)
        }
    });
    mesh.serve(OTHER, slow);
    let mut raw = raw(&mesh, 2);
    mesh.received(&raw.link, hello_frame(0));
    for (id, service) in [(1, SERVICE), (2, OTHER), (3, SERVICE)] {
        let mut frame = frame::Bulk::new(Lane::CALLS, id, 0);
        frame.push(&Envelope::Request {
            id,
            service,
            left_ms: 10_000,
            trace: None,
            payload: b"well?",
        });
        mesh.received(&raw.link, frame.into_bytes());
        // Nothing else had a turn since.
        let at_once: &[u64] = if id == 1 { &[1] } else { &[] };
        assert_eq!(answers(&mut raw), at_once, "request {id}");
    }
    go.send(()).unwrap();
    let mut later = Vec::new();
    while later.len() < 2 {
        tokio::task::yield_now().await;
        later.extend(answers(&mut raw));
    }
    later.sort_unstable();
    assert_eq!(later, [2, 3]);
}
