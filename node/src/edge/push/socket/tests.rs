//! Conversations with readers that do as they like.

use std::{
    future::pending,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;

/// How a reader takes what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    All,
    /// So many messages, then nothing but what ends it.
    First(usize),
    Nothing,
}

/// The other end of a WebSocket.
struct Reader {
    says: mpsc::UnboundedReceiver<Message>,
    sent: Arc<Mutex<Vec<Message>>>,
    takes: Takes,
}

impl Stream for Reader {
    type Item = Result<Message, ()>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.says.poll_recv(context).map(|said| said.map(Ok))
    }
}

impl Sink<Message> for Reader {
    type Error = ();

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), ()> {
        self.sent.lock().unwrap().push(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let sent = self.sent.lock().unwrap().len();
        match self.takes {
            Takes::All => Poll::Ready(Ok(())),
            Takes::First(some) if sent <= some => Poll::Ready(Ok(())),
            Takes::First(_) | Takes::Nothing => Poll::Pending,
        }
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }
}

type Sent = Arc<Mutex<Vec<Message>>>;

fn reader(takes: Takes) -> (Reader, mpsc::UnboundedSender<Message>, Sent) {
    let (say, says) = mpsc::unbounded_channel();
    let sent = Sent::default();
    let reader = Reader {
        says,
        sent: sent.clone(),
        takes,
    };
    (reader, say, sent)
}

fn told(sent: &Sent) -> Vec<Value> {
    let sent = sent.lock().unwrap();
    let texts = sent.iter().filter_map(|message| message.to_str().ok());
    texts
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

fn frame(number: u64, name: &str) -> Frame {
    Frame::new(number.to_string(), name, &json!({ "number": number }))
}

#[tokio::test(start_paused = true)]
async fn frames_are_told_in_order_and_then_it_is_over() {
    let (reader, say, sent) = reader(Takes::All);
    let frames = stream::iter([frame(1, "task.submitted"), Frame::mark("9".to_owned())]);
    let end = converse(reader, frames, pending(), CancellationToken::new()).await;
    assert_eq!(end, End::Closed(Close::Over));
    assert_eq!(
        told(&sent),
        [
            json!({"id": "1", "event": "task.submitted", "data": {"number": 1}}),
            json!({"id": "9"}),
        ]
    );
    let last = sent.lock().unwrap().last().unwrap().clone();
    assert_eq!(last.close_frame(), Some((1000, Close::Over.why())));
    drop(say);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_closed_with_4008_and_nothing_piles_up() {
    let (reader, say, sent) = reader(Takes::First(2));
    let frames = stream::iter((1..).map(|number| frame(number, "task.submitted")));
    let begun = Instant::now();
    let end = converse(reader, frames, pending(), CancellationToken::new()).await;
    assert_eq!(end, End::Closed(Close::Slow));
    assert_eq!(begun.elapsed(), SLOW + LEAVE);
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 4, "two taken, one that waits, one that closes");
    assert_eq!(sent[3].close_frame(), Some((4008, Close::Slow.why())));
    drop(say);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_asked_every_20_seconds_and_left_within_60() {
    let (reader, say, sent) = reader(Takes::All);
    let begun = Instant::now();
    let end = converse(
        reader,
        stream::pending(),
        pending(),
        CancellationToken::new(),
    )
    .await;
    assert_eq!(end, End::Gone);
    assert!(begun.elapsed() <= Duration::from_secs(60));
    let pings = sent
        .lock()
        .unwrap()
        .iter()
        .filter(|it| it.is_ping())
        .count();
    assert_eq!(pings, 2);
    drop(say);
}

#[tokio::test(start_paused = true)]
async fn the_first_word_may_narrow_what_is_told() {
    let (reader, say, sent) = reader(Takes::All);
    let entity: EntityId = "task_01980000000070008000000000000001".parse().unwrap();
    let filter = json!({"types": "task.*", "entity": entity}).to_string();
    say.send(Message::text(filter)).unwrap();
    let frames = stream::iter([
        frame(1, "task.submitted"),
        frame(2, "task.submitted").about(entity),
        frame(3, "agent.mode_set").about(entity),
        frame(4, "worker.status"),
    ]);
    converse(reader, frames, pending(), CancellationToken::new()).await;
    let events: Vec<_> = told(&sent)
        .iter()
        .map(|told| (told["event"].clone(), told["id"].clone()))
        .collect();
    assert_eq!(
        events,
        [
            (json!("filtered"), Value::Null),
            (json!("task.submitted"), json!("2")),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_word_that_is_no_filter_is_answered_and_changes_nothing() {
    let (reader, say, sent) = reader(Takes::All);
    for wrong in ["hello", r#"{"types": "robots.*"}"#, r#"{"type": "task.*"}"#] {
        say.send(Message::text(wrong)).unwrap();
    }
    let frames = stream::iter([frame(1, "worker.status")]);
    converse(reader, frames, pending(), CancellationToken::new()).await;
    let told = told(&sent);
    let names: Vec<_> = told.iter().map(|told| told["event"].as_str()).collect();
    let problem = Some("problem");
    assert_eq!(names, [problem, problem, problem, Some("worker.status")]);
    assert_eq!(told[1]["data"]["errors"][0]["field"], "types");
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_stops_says_so_even_to_who_takes_nothing() {
    let (reader, say, sent) = reader(Takes::Nothing);
    let stopping = CancellationToken::new();
    stopping.cancel();
    let begun = Instant::now();
    let end = converse(reader, stream::pending(), pending(), stopping).await;
    assert_eq!((end, begun.elapsed()), (End::Closed(Close::Away), LEAVE));
    assert_eq!(sent.lock().unwrap()[0].close_frame().unwrap().0, 1001);
    drop(say);
}

/// Over when this time of the test's clock has passed.
async fn after(span: Duration) {
    let _ = tokio::time::timeout(span, pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn who_may_hear_no_more_is_closed_with_1008() {
    let (reader, say, sent) = reader(Takes::All);
    let withdrawn = after(Duration::from_secs(7));
    let begun = Instant::now();
    let end = converse(
        reader,
        stream::pending(),
        withdrawn,
        CancellationToken::new(),
    )
    .await;
    assert_eq!(end, End::Closed(Close::Withdrawn));
    assert_eq!(begun.elapsed(), Duration::from_secs(7) + LEAVE);
    assert_eq!(sent.lock().unwrap()[0].close_frame().unwrap().0, 1008);
    drop(say);
}

#[test]
fn pages_of_others_are_not_ours() {
    let hosts = Hosts::new([127, 0, 0, 1].into(), &["troupe.example".to_owned()]);
    let headers = |origin: &'static str| HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())]);
    assert!(is_ours(&HeaderMap::new(), &hosts));
    for ours in ["http://localhost:8000", "https://troupe.example"] {
        assert!(is_ours(&headers(ours), &hosts), "{ours}");
    }
    for foreign in ["https://evil.test", "null", "http://localhost.evil.test"] {
        assert!(!is_ours(&headers(foreign), &hosts), "{foreign}");
    }
}
