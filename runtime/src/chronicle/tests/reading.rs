//! What is told of the past when it is long, in pieces, or not kept any more.

use super::*;

/// A node of many actors that wrote everything down, and what it wrote.
fn crowd(actors: usize) -> (Stage, Vec<crate::store::Segment>) {
    let mut stage = Stage::new(1 << 30);
    let tree = stage.trees[0].clone();
    let guards = (0..actors).map(|number| tree.enter(format!("/x/{number:06}"), "task"));
    let guards: Vec<_> = guards.collect();
    stage.hands.advance(SECOND);
    let segments = stage.pens[0].note(stage.hands.clock().now());
    drop(guards);
    (stage, segments)
}

#[test]
fn a_base_of_many_actors_comes_in_pieces_and_counts_when_all_are_there() {
    let (stage, segments) = crowd(20_000);
    let (last, pieces) = segments.split_last().unwrap();
    assert!(pieces.len() > 3, "{}", pieces.len());
    for piece in &segments {
        assert!(piece.data.len() < 256 << 10, "{}", piece.data.len());
        assert_eq!(piece.chapter, segments[0].number);
    }
    for piece in pieces {
        ready(stage.store.inscribe(piece)).unwrap();
    }
    let now = stage.hands.clock().now();
    assert!(matches!(
        ready(past_at(&stage.store, now)),
        Err(Untold::Forgotten { .. })
    ));
    ready(stage.store.inscribe(last)).unwrap();
    assert_eq!(stage.past(now).len(), 20_000);
}

#[test]
fn a_node_that_was_counted_as_lost_for_a_moment_is_there_all_the_time() {
    let mut stage = Stage::new(1 << 30);
    stage.act(Step::Begin(0, 4));
    stage.look();
    let lost = stage.hands.clock().now().plus(SECOND / 2);
    ready(node_lost(&stage.store, node(0), lost, "the node was lost")).unwrap();
    let between = lost.plus(SECOND / 10);
    assert!(stage.past(between).is_empty());
    let chapter = ready(stage.store.last_chapter(node(0))).unwrap().unwrap();
    // Two find out that it lives, and it is quiet.
    for now in [SECOND, 2 * SECOND] {
        ready(node_returned(&stage.store, chapter.clone(), lost.plus(now))).unwrap();
    }
    let later = lost.plus(4 * SECOND);
    for moment in [between, later] {
        assert_eq!(stage.past(moment).len(), 1, "{moment}");
    }
    assert!(
        ready(differ(&stage.store, between, later))
            .unwrap()
            .changes
            .is_empty()
    );
    assert_eq!(
        ready(life_of(&stage.store, at(0), later)),
        [],
        "it was not lost"
    );

    stage.hands.advance(9 * SECOND);
    stage.act(Step::Begin(0, 2));
    stage.look();
    assert_eq!(stage.past(at(999)).len(), 2);
    let lost = stage.hands.clock().now().plus(SECOND);
    ready(node_lost(&stage.store, node(0), lost, "the node was lost")).unwrap();
    assert!(stage.past(at(999)).is_empty(), "the next loss counts again");
    let told = ready(life_of(&stage.store, at(0), at(999)));
    let told: Vec<Life> = told.iter().map(|it| it.what).collect();
    assert_eq!(told, [Life::Started, Life::NodeLost]);
}

/// Marks of others have numbers beyond all that a node counts itself, whenever they were made.
#[test]
fn what_a_node_tells_after_many_losses_and_returns_is_found() {
    let mut stage = Stage::new(1 << 30);
    stage.act(Step::Begin(0, 4));
    stage.look();
    for _ in 0..6 {
        let lost = stage.hands.clock().now().plus(SECOND / 2);
        ready(node_lost(&stage.store, node(0), lost, "the node was lost")).unwrap();
        stage.hands.advance(2 * SECOND);
        let chapter = ready(stage.store.last_chapter(node(0))).unwrap().unwrap();
        let now = stage.hands.clock().now();
        ready(node_returned(&stage.store, chapter, now)).unwrap();
    }
    let quiet = stage.hands.clock().now();
    stage.look();
    let begun = stage.hands.clock().now();
    stage.act(Step::Fail(0, 4));
    stage.look();
    for from in [at(0), quiet, begun] {
        let told = ready(life_of(&stage.store, from, at(999)));
        let told: Vec<Life> = told.iter().map(|it| it.what).collect();
        assert!(told.ends_with(&[Life::Failed, Life::Restarted]), "{told:?}");
    }
    let diff = ready(differ(&stage.store, begun, at(999))).unwrap();
    assert_eq!(changed(&diff), [("/x", Change::Restarted)]);
}

/// Its node stood still, was counted as lost, and told of the end only when it went on.
#[test]
fn what_others_took_over_stands_with_them_alone() {
    let mut stage = Stage::new(1 << 30);
    stage.act(Step::Begin(0, 2));
    stage.act(Step::Begin(1, 4));
    stage.look();
    let before = stage.hands.clock().now();
    ready(node_lost(
        &stage.store,
        node(0),
        before.plus(SECOND / 2),
        "the node was lost",
    ))
    .unwrap();
    let chapter = ready(stage.store.last_chapter(node(0))).unwrap().unwrap();
    stage.hands.advance(SECOND);
    let taken = stage.trees[1].enter(PATHS[2], "task");
    taken.moved_from(NODES[0]);
    let _attempt = stage.trees[0].enter("/tasks/a/attempt", "tool");
    stage.hands.advance(SECOND);
    let between = stage.hands.clock().now();
    for segment in stage.pens[1].note(between) {
        ready(stage.store.inscribe(&segment)).unwrap();
    }
    ready(node_returned(&stage.store, chapter, between)).unwrap();
    stage.act(Step::End(0, 2));
    stage.look();

    let holders = |moment, asked: Option<&str>| {
        let mut bounds = unbounded();
        let past = ready(past(&stage.store, moment, asked, "/", &mut bounds)).unwrap();
        let holds = past
            .nodes
            .into_iter()
            .filter(|(_, it)| it.contains_key(PATHS[2]));
        let names: Vec<String> = holds.map(|(name, _)| name).collect();
        names
    };
    assert_eq!(holders(before, None), ["one"]);
    assert_eq!(holders(between, None), ["two"]);
    assert_eq!(holders(between, Some("one")), [""; 0]);
    assert_eq!(holders(between, Some("two")), ["two"]);
    let diff = ready(differ(&stage.store, before, between)).unwrap();
    assert_eq!(changed(&diff), [("/tasks/a", Change::Moved)]);
}

#[test]
fn what_a_node_tells_itself_after_its_end_voids_that_too() {
    let mut stage = Stage::new(1 << 30);
    stage.act(Step::Begin(0, 4));
    stage.look();
    let lost = stage.hands.clock().now().plus(SECOND / 2);
    ready(node_lost(&stage.store, node(0), lost, "the node was lost")).unwrap();
    stage.hands.advance(SECOND);
    stage.act(Step::Fail(0, 4));
    stage.look();
    assert_eq!(stage.past(at(999)).len(), 1);
    let told = ready(life_of(&stage.store, at(0), at(999)));
    let told: Vec<Life> = told.iter().map(|it| it.what).collect();
    assert_eq!(told, [Life::Failed, Life::Restarted]);
}

#[test]
fn a_moment_before_what_is_kept_is_refused_with_the_first_that_is() {
    let mut stage = Stage::new(400);
    assert!(matches!(
        ready(past_at(&stage.store, at(500))),
        Err(Untold::Forgotten { from: None })
    ));
    stage.act(Step::Begin(0, 4));
    for _ in 0..6 {
        for number in 0..20 {
            stage.act(Step::Fail(0, 4));
            stage.act(Step::Begin(1, number % 5));
        }
        stage.look();
    }
    let chapters = || ready(stage.store.chapters(at(0), at(999))).unwrap();
    let first = chapters()[0].clone();
    let next = chapters().into_iter();
    let mut next = next.filter(|it| it.node == first.node && it.since > first.since);
    let next = next.next().unwrap();
    ready(stage.store.forget(&[(first.node, first.chapter)])).unwrap();
    let before = Timestamp::from_micros(next.since.as_micros() - 1);
    for refused in [
        ready(past_at(&stage.store, before)).map(drop),
        ready(differ(&stage.store, before, next.since)).map(drop),
    ] {
        let why = refused.unwrap_err();
        assert!(
            matches!(why, Untold::Forgotten { from } if from == Some(next.since)),
            "{why}"
        );
    }
    assert!(!stage.past(next.since).is_empty());
}

#[test]
fn of_lives_only_the_last_are_read_and_those_before_them_from_there() {
    let mut stage = Stage::new(1 << 30);
    stage.act(Step::Begin(0, 4));
    stage.act(Step::Begin(1, 4));
    for _ in 0..100 {
        stage.act(Step::Fail(0, 4));
        stage.act(Step::Fail(1, 4));
        stage.look();
    }
    let all = ready(life_of(&stage.store, at(0), at(999)));
    let (mut to, mut pages) = (at(999), Vec::new());
    loop {
        let span = Span {
            limit: 30,
            ..between(at(0), to)
        };
        let page = ready(told(&stage.store, &span, &mut unbounded()));
        // What happened in its first moment comes whole: a failure and a restart.
        assert!(page.events.len() <= 31);
        pages.splice(0..0, page.events);
        let Some(more) = page.more else { break };
        to = more;
    }
    assert_eq!(pages, all);
    let span = Span {
        limit: 3,
        ..between(at(0), at(999))
    };
    let mut little = Bounds::new(40 << 10, 60 * SECOND);
    let last = ready(told(&stage.store, &span, &mut little)).events;
    assert_eq!(last, all[all.len() - 4..], "the rest is not read");

    let mut little = Bounds::new(8 << 10, 60 * SECOND);
    let some = ready(told(&stage.store, &between(at(0), at(999)), &mut little));
    let more = some.more.expect("the bound is reached");
    let rest: Vec<_> = all.iter().filter(|it| it.at > more).cloned().collect();
    assert_eq!(some.events, rest);
    assert!(!rest.is_empty() && rest.len() < all.len());
}

#[test]
fn a_past_that_is_more_than_may_be_read_is_refused() {
    let (stage, segments) = crowd(5_000);
    for segment in &segments {
        ready(stage.store.inscribe(segment)).unwrap();
    }
    let now = stage.hands.clock().now();
    for (bytes, within) in [(10_000, 60 * SECOND), (u64::MAX, Duration::ZERO)] {
        let mut bounds = Bounds::new(bytes, within);
        let refused = ready(past(&stage.store, now, None, "/", &mut bounds));
        assert!(matches!(refused, Err(Untold::TooMuch)));
    }
    let below = ready(past(&stage.store, now, None, "/x/000007", &mut unbounded())).unwrap();
    assert_eq!(below.len(), 1);
}

/// Takes nothing of more than a few bytes in.
#[derive(Debug)]
struct Narrow {
    store: Shared,
    refused: std::sync::atomic::AtomicUsize,
}

impl Archive for Narrow {
    fn keep<'a>(&'a self, segment: &'a crate::store::Segment) -> Keeping<'a> {
        Box::pin(async move {
            if segment.data.len() > 2_000 {
                self.refused
                    .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                return Err(Unkept::Refused("it is too large".to_owned()));
            }
            Ok(self.store.inscribe(segment).await?)
        })
    }

    fn tidy(&self, _: Timestamp) -> crate::store::Answer<'_, Tidied> {
        Box::pin(async { Ok(Tidied::All) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_refused_is_given_up_and_what_follows_is_written() {
    let hands = TestClock::at(at(100));
    let tree = Tree::new("one", hands.clock());
    let store: Shared = Arc::new(Memory::new());
    let narrow = Arc::new(Narrow {
        store: store.clone(),
        refused: 0.into(),
    });
    let setup = Setup {
        tree: tree.clone(),
        node: node(0),
        name: "one".to_owned(),
        archive: narrow.clone(),
        retention: Retention::default(),
    };
    let spec = Spec::infrastructure(Supervise::OneForOne);
    let _root = Supervisor::start(&tree, "/", spec, vec![chronicle(setup)], None)
        .await
        .unwrap();
    let crowd = (0..300).map(|number| tree.enter(format!("/x/{number}"), "task"));
    let crowd: Vec<_> = crowd.collect();
    let tick = async || {
        hands.advance(SECOND);
        tokio::time::advance(SECOND).await;
        tokio::task::yield_now().await;
    };
    let refused = || narrow.refused.load(std::sync::atomic::Ordering::SeqCst);
    while refused() == 0 {
        tick().await;
    }
    drop(crowd);
    while store.last_chapter(node(0)).await.unwrap().is_none() {
        tick().await;
    }
    assert!(refused() < 5, "{}", refused());
}

/// The chronicle is one of those that an operator may kill, and begins again with what supervises it.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_actors_is_told_though_nobody_wrote_at_the_time() {
    let hands = TestClock::at(at(100));
    let tree = Tree::new("one", hands.clock());
    let store: Shared = Arc::new(Memory::new());
    let spec = Spec::infrastructure(Supervise::OneForOne);
    let children = vec![writer(&tree, &store)];
    let early = tree.enter("/early", "task");
    let root = Supervisor::start(&tree, "/system", spec, children, None);
    let root = root.await.unwrap();
    let tick = async || {
        hands.advance(SECOND);
        tokio::time::advance(SECOND).await;
        tokio::task::yield_now().await;
    };
    while store.last_chapter(node(0)).await.unwrap().is_none() {
        tick().await;
    }
    for _ in 0..2 {
        let killed = tree.kill("/system/chronicle", "killed by ann");
        assert_eq!(killed, crate::supervision::Kill::Ended);
        early.failed("while nobody wrote");
        early.restart();
        let runs = || {
            let actor = tree.actor("/system/chronicle");
            actor.is_some_and(|it| it.row.state == "running")
        };
        while !runs() {
            tick().await;
        }
        tick().await;
        tick().await;
    }
    root.shutdown(SECOND).await.unwrap();
    let told = life_of(&store, at(0), at(999)).await;
    let of = |path: &str, what: Life| {
        let events = told.iter().filter(|it| it.path == path && it.what == what);
        events.count()
    };
    assert_eq!(of("/early", Life::Started), 1, "{told:#?}");
    assert_eq!(of("/early", Life::Failed), 2, "{told:#?}");
    assert_eq!(of("/system/chronicle", Life::Failed), 2, "{told:#?}");
    // What ended is a part of the tree.
    assert_eq!(of("/", Life::Stopped), 0, "{told:#?}");
}

#[test]
fn a_quiet_node_says_that_it_is_there_and_one_that_says_nothing_is_named_with_what_is_known() {
    let mut stage = Stage::new(1 << 30);
    stage.act(Step::Begin(0, 2));
    stage.act(Step::Begin(1, 3));
    stage.look();
    for _ in 0..60 {
        stage.look();
    }
    let quiet = stage.hands.clock().now();
    let segments = ready(stage.store.segments(node(0), chapter_of(&stage, 0), quiet)).unwrap();
    assert!((4..=7).contains(&segments.len()), "{}", segments.len());
    let past = past_of(&stage, quiet);
    assert_eq!((past.len(), past.stale), (2, Vec::new()));

    // The second cannot reach its archive any more; the first can.
    let mut until = quiet;
    for _ in 0..40 {
        stage.hands.advance(SECOND);
        until = stage.hands.clock().now();
        for segment in stage.pens[0].note(until) {
            ready(stage.store.inscribe(&segment)).unwrap();
        }
    }
    let past = past_of(&stage, until);
    assert_eq!(past.len(), 2, "it is shown as it was");
    let [stale] = &past.stale[..] else {
        panic!("{:?}", past.stale);
    };
    assert_eq!(stale.node, "two");
    assert!(
        stale.until <= quiet && stale.until > quiet_before(quiet),
        "{stale:?}"
    );
    let view = past.view(&TreeQuery::default());
    assert_eq!(view.stale, past.stale);
    let differ = ready(differ(&stage.store, quiet, until)).unwrap();
    assert_eq!(differ.stale, past.stale);
}

fn quiet_before(quiet: Timestamp) -> Timestamp {
    Timestamp::from_micros(quiet.as_micros() - 20_000_000)
}

fn chapter_of(stage: &Stage, number: usize) -> u64 {
    let chapter = ready(stage.store.last_chapter(node(number))).unwrap();
    chapter.unwrap().chapter
}

#[test]
fn pages_of_lives_that_are_read_by_their_cursors_have_each_turn_once() {
    let mut stage = Stage::new(1 << 30);
    for number in 0..5 {
        stage.act(Step::Begin(0, number));
        stage.act(Step::Begin(1, number));
        stage.look();
    }
    let now = stage.hands.clock().now();
    let all = ready(life_of(&stage.store, at(0), now));
    assert!(all.len() >= 8, "{}", all.len());
    for limit in [1, 2, 3, 7] {
        let (mut to, mut pages) = (now, Vec::new());
        loop {
            let span = Span {
                limit,
                ..between(at(0), to)
            };
            let lives = ready(told(&stage.store, &span, &mut unbounded()));
            pages.splice(0..0, lives.events);
            match lives.more {
                Some(more) => to = more,
                None => break,
            }
        }
        assert_eq!(pages, all, "{limit} at a time");
    }
}

fn past_of(stage: &Stage, at: Timestamp) -> Past {
    ready(past_at(&stage.store, at)).unwrap()
}
