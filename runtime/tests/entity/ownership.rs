//! Several nodes over one store: shards are shared out, taken over, and handed on.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use protocol::{
    entity::EntityId,
    id::NodeId,
    member::{Member, MemberState, Roles},
    shard::Shard,
    time::Timestamp,
};
use runtime::{
    clock::TestClock,
    entity::{Host, Seed, TellError},
    journal::Journal,
    membership::{Fence, Membership, Registrar, Roster, Standing, StoreRegistrar, membership},
    placement::{Holdings, Moves, Timing, placer},
    store::{Founding, Memory, Shared, Writer},
    supervision::{Spec, Supervisor, SupervisorRef, Tree},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::counter::{Counter, Message, Shares, id};

const SHARDS: u16 = 32;

/// A store and the one clock of all.
struct Cluster {
    store: Shared,
    hands: TestClock,
}

impl Cluster {
    async fn new() -> Self {
        let hands = TestClock::at(Timestamp::from_micros(1_000_000_000));
        let store: Shared = Arc::new(Memory::with_clock(hands.clock()));
        let founding = Founding {
            cluster: Uuid::from_u128(1),
            shards: SHARDS,
        };
        assert_eq!(store.found(founding).await.unwrap(), founding);
        Self { store, hands }
    }

    /// Lets time pass in small steps, with room for what it sets off.
    async fn pass(&self, span: Duration) {
        let step = Duration::from_millis(50);
        for _ in 0..span.as_millis() / step.as_millis() {
            self.hands.advance(step);
            tokio::time::advance(step).await;
            for _ in 0..40 {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn node(&self, number: u128) -> Node {
        Node::start(self, number).await
    }
}

struct Node {
    me: NodeId,
    host: Host<Counter>,
    holdings: Holdings,
    membership: Membership,
    shares: Shares,
    root: SupervisorRef,
    /// The entities alone.
    tree: Tree,
}

impl Node {
    async fn start(cluster: &Cluster, number: u128) -> Self {
        let (store, clock) = (cluster.store.clone(), cluster.hands.clock());
        let me = Member {
            node: NodeId::from_uuid(Uuid::from_u128(number)),
            name: format!("n{number}"),
            roles: Roles::all(),
            mesh: None,
            edge: None,
            region: String::new(),
            version: "1".to_owned(),
            protocol: 1,
            started_at: clock.now(),
            admin: None,
        };
        let registrar = Arc::new(StoreRegistrar(store.clone()));
        let fence = Fence::closed(clock.clone());
        let timing = Timing::default();
        let entered = registrar.enter(&me, timing.ttl, None).await.unwrap();
        assert_eq!(entered, Ok(()));
        let node = me.node;
        let holdings = Holdings::none(SHARDS, fence.clone());
        let own = Membership::new(me, Roster::empty(SHARDS), timing, clock.clone(), fence);
        let entities = Tree::new(own.me().name.clone(), clock);
        let (host, shares, journal) = Self::entities(&store, &entities, node, &holdings);
        let moves = moves(&host);
        let children = vec![
            host.supervisor(),
            membership(own.clone(), registrar),
            placer(holdings.clone(), own.clone(), store, moves),
        ];
        let tree = Tree::new("here", journal.clock().clone());
        let root = Supervisor::start(&tree, "/", Spec::root(), children, None)
            .await
            .unwrap();
        Self {
            me: node,
            host,
            holdings,
            membership: own,
            shares,
            root,
            tree: entities,
        }
    }

    fn entities(
        store: &Shared,
        tree: &Tree,
        node: NodeId,
        holdings: &Holdings,
    ) -> (Host<Counter>, Shares, Journal) {
        let journal = Journal::new(
            store.clone(),
            Writer::start(store.clone()),
            tree.clock().clone(),
            node,
            holdings.clone(),
        );
        let host = Host::new(tree.clone(), journal.clone());
        let shares = Shares::default();
        host.provide(shares.clone());
        (host, shares, journal)
    }

    async fn add(&self, id: EntityId, number: u64) -> Result<Option<u64>, TellError> {
        self.host.ask(id, |reply| Message::Add(number, reply)).await
    }

    async fn make(&self, id: EntityId, number: u64) -> Result<(), TellError> {
        let (reply, answer) = oneshot::channel();
        let seed = Seed {
            tenant: "default".into(),
            name: None,
        };
        let first = Message::Add(number, reply);
        self.host.create(id, seed, first).await?;
        assert_eq!(answer.await.unwrap(), number);
        Ok(())
    }

    /// On which nodes the entities in memory here were before.
    fn origins(&self) -> Vec<Option<String>> {
        let rows = self.tree.snapshot("/", None).nodes.into_iter();
        rows.map(|row| row.restored_from).collect()
    }

    /// As a crash would: nobody is told.
    fn kill(&self) {
        if let Some(cell) = self.root.cell() {
            cell.kill();
        }
    }
}

fn moves(host: &Host<Counter>) -> Moves {
    let (recovering, evicting) = (host.clone(), host.clone());
    Moves {
        recover: Arc::new(move |scope, arrival| {
            let host = recovering.clone();
            Box::pin(async move { host.recover(&scope, arrival).await.is_ok() })
        }),
        evict: Arc::new(move |scope, how| {
            let host = evicting.clone();
            Box::pin(async move { host.evict(&scope, how).await })
        }),
        announce: Arc::new(|| ()),
        silent: Arc::new(|_| None),
    }
}

/// How many shards each node owns; no shard twice.
fn shares(nodes: &[&Node]) -> Vec<usize> {
    let held: Vec<Vec<Shard>> = nodes
        .iter()
        .map(|node| node.holdings.held().into_keys().collect())
        .collect();
    let mut all: Vec<_> = held.iter().flatten().collect();
    let total = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), total, "a shard has two owners");
    held.iter().map(Vec::len).collect()
}

/// Who of these owns an entity.
fn owner<'a>(nodes: &[&'a Node], id: EntityId) -> &'a Node {
    let mut owners = nodes
        .iter()
        .filter(|node| node.holdings.activates(id).is_some());
    let owner = owners.next().unwrap();
    assert!(owners.next().is_none());
    owner
}

#[tokio::test(start_paused = true)]
async fn shards_are_shared_out_and_a_newcomer_gets_its_part() {
    let cluster = Cluster::new().await;
    let first = cluster.node(1).await;
    cluster.pass(Duration::from_secs(1)).await;
    assert_eq!(shares(&[&first]), [usize::from(SHARDS)]);
    first.make(id(7), 3).await.unwrap();

    let (second, third) = (cluster.node(2).await, cluster.node(3).await);
    cluster.pass(Duration::from_secs(8)).await;
    let nodes = [&first, &second, &third];
    let shares = shares(&nodes);
    assert_eq!(shares.iter().sum::<usize>(), usize::from(SHARDS));
    assert!(shares.iter().all(|share| *share >= 3), "{shares:?}");
    for number in 0..u128::from(SHARDS) {
        let there = owner(&nodes, id(number));
        let sum = if number == 7 {
            there.add(id(7), 4).await.unwrap().unwrap()
        } else {
            there.make(id(number), 7).await.unwrap();
            7
        };
        assert_eq!(sum, 7);
        for node in nodes.iter().filter(|node| node.me != there.me) {
            let refused = node.add(id(number), 1).await;
            assert!(matches!(refused, Err(TellError::Elsewhere(_))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_node_owned_goes_on_elsewhere_within_its_lease() {
    let cluster = Cluster::new().await;
    let (first, second) = (cluster.node(1).await, cluster.node(2).await);
    cluster.pass(Duration::from_secs(8)).await;
    for number in 0..u128::from(SHARDS) {
        let there = owner(&[&first, &second], id(number));
        there.make(id(number), 5).await.unwrap();
    }
    let owned = shares(&[&first, &second])[0];
    first.kill();
    cluster.pass(Duration::from_secs(8)).await;
    assert_eq!(second.holdings.held().len(), usize::from(SHARDS));
    // All counters are open, so they come back without being asked.
    assert_eq!(second.shares.recovered.load(Ordering::SeqCst), owned);
    let moved = second.origins().into_iter().flatten();
    assert_eq!(moved.collect::<Vec<_>>(), vec!["n1"; owned]);
    for number in 0..u128::from(SHARDS) {
        assert_eq!(second.add(id(number), 1).await.unwrap(), Some(6));
    }
}

#[tokio::test(start_paused = true)]
async fn what_its_former_owner_made_in_the_last_moment_is_found_later() {
    let cluster = Cluster::new().await;
    let (first, second) = (cluster.node(1).await, cluster.node(2).await);
    cluster.pass(Duration::from_secs(8)).await;
    let late = (0..u128::from(SHARDS))
        .map(id)
        .find(|id| first.holdings.activates(*id).is_some())
        .unwrap();
    first.kill();
    cluster.pass(Duration::from_secs(7)).await;
    assert_eq!(second.holdings.held().len(), usize::from(SHARDS));
    // A statement that was under way commits after the new owner looked.
    let (elsewhere, _shares, _) = Node::entities(
        &cluster.store,
        &Tree::new("elsewhere", cluster.hands.clock()),
        second.me,
        &second.holdings,
    );
    let tree = Tree::new("elsewhere", cluster.hands.clock());
    let supervised = vec![elsewhere.supervisor()];
    let root = Supervisor::start(&tree, "/", Spec::root(), supervised, None);
    let _root = root.await.unwrap();
    let (reply, made) = oneshot::channel();
    let seed = Seed {
        tenant: "default".into(),
        name: None,
    };
    let first_word = Message::Add(1, reply);
    elsewhere.create(late, seed, first_word).await.unwrap();
    made.await.unwrap();
    assert_eq!(second.shares.recovered.load(Ordering::SeqCst), 0);
    cluster.pass(Duration::from_secs(7)).await;
    assert_eq!(second.shares.recovered.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_slept_longer_than_its_lease_can_do_no_harm() {
    let cluster = Cluster::new().await;
    let (first, second) = (cluster.node(1).await, cluster.node(2).await);
    cluster.pass(Duration::from_secs(8)).await;
    let slept = (0..u128::from(SHARDS))
        .map(id)
        .find(|id| first.holdings.activates(*id).is_some())
        .unwrap();
    first.make(slept, 1).await.unwrap();
    // Its entities stay in memory, but nothing of it is scheduled any more.
    let (memory, journal) = (first.host.clone(), first.holdings.clone());
    first.kill();
    cluster.pass(Duration::from_secs(8)).await;
    assert_eq!(second.add(slept, 1).await.unwrap(), Some(2));
    assert_eq!(journal.appends(slept), None);
    let zombie = memory.ask(slept, |reply| Message::Add(9, reply)).await;
    assert!(!matches!(zombie, Ok(Some(_))), "{zombie:?}");
    assert_eq!(second.add(slept, 1).await.unwrap(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_hands_everything_over_without_waiting_for_its_lease() {
    let cluster = Cluster::new().await;
    let (first, second) = (cluster.node(1).await, cluster.node(2).await);
    cluster.pass(Duration::from_secs(8)).await;
    for number in 0..u128::from(SHARDS) {
        let there = owner(&[&first, &second], id(number));
        there.make(id(number), 5).await.unwrap();
    }
    let owned = shares(&[&first, &second])[0];
    let store = cluster.store.clone();
    store
        .set_state(first.me, MemberState::Draining)
        .await
        .unwrap();
    cluster.pass(Duration::from_secs(5)).await;
    assert_eq!(shares(&[&first, &second]), [0, usize::from(SHARDS)]);
    let moved = second.origins().into_iter().flatten();
    assert_eq!(moved.collect::<Vec<_>>(), vec!["n1"; owned]);
    assert_eq!(first.membership.standing(), Standing::Member);
    for number in 0..u128::from(SHARDS) {
        assert_eq!(second.add(id(number), 1).await.unwrap(), Some(6));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_an_operator_removed_stops_for_good() {
    let cluster = Cluster::new().await;
    let (first, second) = (cluster.node(1).await, cluster.node(2).await);
    cluster.pass(Duration::from_secs(8)).await;
    let store = cluster.store.clone();
    store
        .set_state(first.me, MemberState::Removed)
        .await
        .unwrap();
    cluster.pass(Duration::from_secs(3)).await;
    assert!(matches!(first.membership.standing(), Standing::Ended(_)));
    assert_eq!(second.holdings.held().len(), usize::from(SHARDS));
    assert!(!first.holdings.fence().holds());
}
