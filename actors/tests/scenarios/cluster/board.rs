//! A network of nodes in one process that loses what a test wants lost.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use actors::{
    cluster::{Asking, Net},
    orchestrator::{Asked, Peers},
};
use protocol::{id::NodeId, wire::Service};
use runtime::cluster::{Fault, Handler, Incoming, MAX_PAYLOAD, Peer};

/// What a test does to messages on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never arrives.
    Dropped,
    /// It arrives, and its answer does not.
    Unanswered,
}

/// Messages of one service that contain a word, so many of them.
#[derive(Debug)]
struct Rule {
    service: Service,
    word: &'static str,
    fate: Fate,
    left: usize,
}

#[derive(Default)]
struct State {
    peers: HashMap<NodeId, Arc<Peer>>,
    handlers: HashMap<(NodeId, Service), Handler>,
    cut: HashSet<NodeId>,
    rules: Vec<Rule>,
    seen: Vec<(Service, String)>,
}

/// The network.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<State>>);

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Board")
    }
}

impl Board {
    pub(crate) fn join(&self, peer: Peer) -> Arc<Socket> {
        let me = peer.node;
        self.0.lock().unwrap().peers.insert(me, Arc::new(peer));
        let board = self.clone();
        Arc::new(Socket { me, board })
    }

    /// Nothing reaches the node, nothing leaves it.
    pub(crate) fn cut(&self, node: NodeId) {
        self.0.lock().unwrap().cut.insert(node);
    }

    pub(crate) fn heal(&self, node: NodeId) {
        self.0.lock().unwrap().cut.remove(&node);
    }

    /// The next `count` messages with this word meet this fate.
    pub(crate) fn harm(&self, service: Service, word: &'static str, fate: Fate, count: usize) {
        let rule = Rule {
            service,
            word,
            fate,
            left: count,
        };
        self.0.lock().unwrap().rules.push(rule);
    }

    /// Everything arrives again.
    pub(crate) fn forgive(&self) {
        self.0.lock().unwrap().rules.clear();
    }

    /// One node's end, as that node could use it.
    pub(crate) fn socket(&self, me: NodeId) -> Socket {
        let board = self.clone();
        Socket { me, board }
    }

    /// How many messages with this word were sent.
    pub(crate) fn sent(&self, service: Service, word: &str) -> usize {
        let state = self.0.lock().unwrap();
        let matching = state
            .seen
            .iter()
            .filter(|(of, text)| *of == service && text.contains(word));
        matching.count()
    }

    fn route(
        &self,
        from: NodeId,
        to: NodeId,
        service: Service,
        payload: &[u8],
    ) -> Result<(Handler, Arc<Peer>, Option<Fate>), Fault> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Fault::TooLarge {
                size: payload.len(),
                limit: MAX_PAYLOAD,
            });
        }
        let mut state = self.0.lock().unwrap();
        if state.cut.contains(&from) || state.cut.contains(&to) {
            return Err(Fault::Unreachable(to));
        }
        let text = String::from_utf8_lossy(payload).into_owned();
        let rule = state
            .rules
            .iter_mut()
            .find(|rule| rule.left > 0 && rule.service == service && text.contains(rule.word));
        let fate = rule.map(|rule| {
            rule.left -= 1;
            rule.fate
        });
        state.seen.push((service, text));
        let peer = state.peers[&from].clone();
        let handler = state.handlers.get(&(to, service)).cloned();
        Ok((handler.ok_or(Fault::NoService(to))?, peer, fate))
    }
}

/// One node's end of the network.
#[derive(Debug)]
pub(crate) struct Socket {
    me: NodeId,
    board: Board,
}

impl Peers for Socket {
    fn me(&self) -> NodeId {
        self.me
    }

    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asked<'_> {
        Net::ask(self, to, service, payload, within)
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        Net::tell(self, to, service, payload)
    }

    fn serve(&self, service: Service, handler: Handler) {
        Net::serve(self, service, handler);
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        let state = self.board.0.lock().unwrap();
        let reached = |node: &&NodeId| **node != self.me && !state.cut.contains(node);
        let others = state.peers.keys().filter(reached);
        others.map(|node| state.peers[node].clone()).collect()
    }
}

impl Net for Socket {
    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asking {
        let routed = self.board.route(self.me, to, service, &payload);
        Box::pin(async move {
            let (handler, from, fate) = routed?;
            if fate == Some(Fate::Dropped) {
                return Err(Fault::Lost(to));
            }
            let incoming = Incoming {
                from,
                payload,
                left: within,
            };
            // The other node goes on when this one gives up.
            let answer = tokio::spawn(handler(incoming));
            let answer = tokio::time::timeout(within, answer).await;
            match (answer, fate) {
                (_, Some(_)) => Err(Fault::Lost(to)),
                (Ok(answer), None) => answer.unwrap_or(Err(Fault::Lost(to))),
                (Err(_), None) => Err(Fault::Deadline(to)),
            }
        })
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        let (handler, from, fate) = self.board.route(self.me, to, service, &payload)?;
        if fate.is_none() {
            tokio::spawn(handler(Incoming {
                from,
                payload,
                left: Duration::ZERO,
            }));
        }
        Ok(())
    }

    fn serve(&self, service: Service, handler: Handler) {
        let mut state = self.board.0.lock().unwrap();
        state.handlers.insert((self.me, service), handler);
    }
}
