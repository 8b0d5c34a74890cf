//! Links between nodes of one process, which can be cut, frozen and made to lose things.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actors::orchestrator::{Asked, Peers};
use protocol::{id::NodeId, member::Roles, wire::Service};
use runtime::cluster::{Fault, Handler, Incoming, MAX_PAYLOAD, Peer};
use tokio::sync::{mpsc, oneshot};

/// How asking a node goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no link to it.
    Cut,
    /// It takes everything and answers nothing.
    Frozen,
    /// What it is told is lost.
    Deaf,
    /// The link is lost with the next answer, after which all is well.
    LosesAnswer,
}

/// All nodes and their links.
#[derive(Debug, Clone, Default)]
pub(crate) struct Net(Arc<Inner>);

#[derive(Default)]
struct Inner {
    nodes: Mutex<HashMap<NodeId, Node>>,
    trouble: Mutex<HashMap<NodeId, Trouble>>,
    /// Nodes that have no link, both ways round.
    apart: Mutex<HashSet<(NodeId, NodeId)>>,
    asked: AtomicUsize,
    told: AtomicUsize,
    lost: AtomicUsize,
    handlers: Mutex<HashMap<(NodeId, Service), Handler>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Net({} nodes)", self.nodes.lock().unwrap().len())
    }
}

struct Node {
    peer: Arc<Peer>,
    inbox: mpsc::UnboundedSender<Told>,
}

enum Told {
    Message(Service, Incoming),
    /// Everything that was told before was heard.
    Mark(oneshot::Sender<()>),
}

/// One node's links.
#[derive(Debug)]
pub(crate) struct Port {
    net: Net,
    me: Arc<Peer>,
}

impl Net {
    /// Another node, linked with all.
    pub(crate) fn port(&self, name: &str, node: NodeId, roles: Roles) -> Arc<Port> {
        let me = Arc::new(Peer {
            node,
            name: name.to_owned(),
            roles,
        });
        let (inbox, mut told) = mpsc::unbounded_channel();
        let (net, peer) = (self.clone(), me.clone());
        tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                match told {
                    Told::Message(service, incoming) => {
                        let handler = net.handler(node, service);
                        if let Some(handler) = handler {
                            let _ = handler(incoming).await;
                        }
                    }
                    Told::Mark(heard) => drop(heard.send(())),
                }
            }
        });
        self.0
            .nodes
            .lock()
            .unwrap()
            .insert(node, Node { peer, inbox });
        Arc::new(Port {
            net: self.clone(),
            me,
        })
    }

    pub(crate) fn trouble(&self, node: NodeId, trouble: Trouble) {
        self.0.trouble.lock().unwrap().insert(node, trouble);
    }

    /// Two nodes have no link from now on, as those have none that own nothing.
    pub(crate) fn part(&self, one: NodeId, other: NodeId) {
        let mut apart = self.0.apart.lock().unwrap();
        apart.extend([(one, other), (other, one)]);
    }

    pub(crate) fn heal(&self, node: NodeId) {
        self.0.trouble.lock().unwrap().remove(&node);
    }

    /// How many questions went from one node to another.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// How many messages were told.
    pub(crate) fn told(&self) -> usize {
        self.0.told.load(Ordering::SeqCst)
    }

    /// How many of those messages never arrived.
    pub(crate) fn lost(&self) -> usize {
        self.0.lost.load(Ordering::SeqCst)
    }

    /// Waits until a node has heard all that it was told.
    pub(crate) async fn heard(&self, node: NodeId) {
        let (mark, heard) = oneshot::channel();
        let inbox = self.0.nodes.lock().unwrap()[&node].inbox.clone();
        inbox.send(Told::Mark(mark)).ok().unwrap();
        heard.await.unwrap();
    }

    fn handler(&self, node: NodeId, service: Service) -> Option<Handler> {
        let handlers = self.0.handlers.lock().unwrap();
        handlers.get(&(node, service)).cloned()
    }

    fn trouble_with(&self, node: NodeId) -> Option<Trouble> {
        let mut trouble = self.0.trouble.lock().unwrap();
        match trouble.get(&node).copied() {
            Some(Trouble::LosesAnswer) => trouble.remove(&node),
            other => other,
        }
    }
}

impl Port {
    fn is_linked(&self, to: NodeId) -> bool {
        let apart = self.net.0.apart.lock().unwrap();
        !apart.contains(&(self.me.node, to))
    }

    async fn deliver(
        &self,
        to: NodeId,
        service: Service,
        payload: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, Fault> {
        assert!(payload.len() <= MAX_PAYLOAD, "{} bytes", payload.len());
        self.net.0.asked.fetch_add(1, Ordering::SeqCst);
        let handler = self.net.handler(to, service);
        let handler = handler.filter(|_| self.is_linked(to));
        let handler = handler.ok_or(Fault::Unreachable(to))?;
        let trouble = self.net.trouble_with(to);
        let incoming = Incoming {
            from: self.me.clone(),
            payload,
            left: within,
        };
        match trouble {
            Some(Trouble::Cut) => return Err(Fault::Unreachable(to)),
            Some(Trouble::Frozen) => {
                let never = std::future::pending::<()>();
                let _ = tokio::time::timeout(within, never).await;
                return Err(Fault::Deadline(to));
            }
            Some(Trouble::Deaf | Trouble::LosesAnswer) | None => (),
        }
        // Whoever stops waiting does not stop the other node.
        let answer = tokio::spawn(handler(incoming)).await.unwrap();
        if trouble == Some(Trouble::LosesAnswer) {
            return Err(Fault::Lost(to));
        }
        let size = answer.as_ref().map_or(0, Vec::len);
        assert!(size <= MAX_PAYLOAD, "{size} bytes");
        answer
    }
}

impl Peers for Port {
    fn me(&self) -> NodeId {
        self.me.node
    }

    fn ask(&self, to: NodeId, service: Service, payload: Vec<u8>, within: Duration) -> Asked<'_> {
        Box::pin(self.deliver(to, service, payload, within))
    }

    fn tell(&self, to: NodeId, service: Service, payload: Vec<u8>) -> Result<(), Fault> {
        assert!(payload.len() <= MAX_PAYLOAD, "{} bytes", payload.len());
        let trouble = self.net.0.trouble.lock().unwrap().get(&to).copied();
        match trouble {
            Some(Trouble::Cut) => return Err(Fault::Unreachable(to)),
            Some(Trouble::Deaf | Trouble::Frozen) => {
                self.net.0.lost.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            Some(Trouble::LosesAnswer) | None => (),
        }
        let nodes = self.net.0.nodes.lock().unwrap();
        let node = nodes.get(&to).ok_or(Fault::Unreachable(to))?;
        self.net.0.told.fetch_add(1, Ordering::SeqCst);
        let incoming = Incoming {
            from: self.me.clone(),
            payload,
            left: Duration::ZERO,
        };
        node.inbox.send(Told::Message(service, incoming)).ok();
        Ok(())
    }

    fn serve(&self, service: Service, handler: Handler) {
        let mut handlers = self.net.0.handlers.lock().unwrap();
        handlers.insert((self.me.node, service), handler);
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        let nodes = self.net.0.nodes.lock().unwrap();
        let others = nodes.values().filter(|node| {
            let other = node.peer.node;
            other != self.me.node && self.is_linked(other)
        });
        others.map(|node| node.peer.clone()).collect()
    }
}
