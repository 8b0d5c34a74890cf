//! ractor_cluster's server of sessions: told of connections that are authenticated already, deaf to
//! those of its own listener, and watched for those that come and go.

use std::net::{IpAddr, Ipv4Addr};

use protocol::id::NodeId;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::{
    NodeEventSubscription, NodeServer, NodeServerMessage,
    node::{NodeConnectionMode, NodeServerSessionInformation, NodeServerState},
};

use super::{MAX_FRAME, gateway::Message, link};
use crate::{
    cluster::identity::Fingerprint,
    supervision::{self, Address},
};

/// What ractor_cluster puts around a frame, with room to spare.
const HEADER: u64 = 4 * 1024;

/// A name for ractor_cluster that no other process ever has: it keeps one session by name, and not
/// necessarily the one that lives.
fn name(node: &str, incarnation: NodeId) -> String {
    format!("{node}#{incarnation}")
}

/// The same as the other end hears it.
pub(super) fn full_name(node: &str, incarnation: NodeId) -> String {
    format!("{}@{incarnation}", name(node, incarnation))
}

/// How this process is known to ractor_cluster.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) authority: Fingerprint,
}

pub(super) struct Sessions {
    server: NodeServer,
    gateway: Address<Message>,
}

impl Sessions {
    /// TLS has told who is there; the cookie only keeps ractor_cluster content. The host is the
    /// node's id: two hosts of the same name and port would count as one.
    pub(super) fn new(known: &Known, gateway: Address<Message>) -> Self {
        let cookie = format!("troupe {}", known.authority);
        let host = known.node.to_string();
        let name = name(&known.name, known.node);
        let mode = Some(NodeConnectionMode::Isolated);
        let server = NodeServer::new(0, cookie, name, host, None, mode)
            .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .with_max_inbound_frame_size(MAX_FRAME as u64 + HEADER);
        Self { server, gateway }
    }
}

impl Actor for Sessions {
    type Msg = NodeServerMessage;
    type State = NodeServerState;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<NodeServerMessage>,
        (): (),
    ) -> Result<NodeServerState, ActorProcessingErr> {
        let state = self.server.pre_start(myself.clone(), ()).await?;
        let subscription = Box::new(Watch(self.gateway.clone()));
        let id = "gateway".to_owned();
        myself.cast(NodeServerMessage::SubscribeToEvents { id, subscription })?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<NodeServerMessage>,
        message: NodeServerMessage,
        state: &mut NodeServerState,
    ) -> Result<(), ActorProcessingErr> {
        // What its own listener accepted has shown no certificate.
        if let NodeServerMessage::ConnectionOpened { stream, .. } = message {
            tracing::warn!(?stream, "a connection beside the mesh port was closed");
            return Ok(());
        }
        self.server.handle(myself, message, state).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<NodeServerMessage>,
        event: SupervisionEvent,
        state: &mut NodeServerState,
    ) -> Result<(), ActorProcessingErr> {
        self.server
            .handle_supervisor_evt(myself, event, state)
            .await
    }
}

impl supervision::Message for NodeServerMessage {
    fn name(&self) -> &'static str {
        match self {
            Self::ConnectionOpened { .. } => "ConnectionOpened",
            Self::ConnectionOpenedExternal { .. } => "ConnectionOpenedExternal",
            Self::ConnectionAuthenticated(_) => "ConnectionAuthenticated",
            Self::ConnectionReady(_) => "ConnectionReady",
            Self::CheckSession { .. } => "CheckSession",
            Self::UpdateSession { .. } => "UpdateSession",
            Self::GetSessions(_) => "GetSessions",
            Self::SubscribeToEvents { .. } => "SubscribeToEvents",
            Self::UnsubscribeToEvents(_) => "UnsubscribeToEvents",
            Self::PortChanged { .. } => "PortChanged",
        }
    }
}

/// Passes on what happens to sessions.
struct Watch(Address<Message>);

impl Watch {
    fn tell(&self, session: &NodeServerSessionInformation, event: impl FnOnce(u64) -> Message) {
        if let Some(serial) = link::serial(&session.peer_addr) {
            // Without a gateway there are no links to be told of.
            let _ = self.0.cast(event(serial));
        }
    }
}

impl NodeEventSubscription for Watch {
    fn node_session_opened(&self, _: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        self.tell(&session, |serial| {
            let children = session.actor.get_children().into_iter();
            let is_remote = |id: ActorId| matches!(id, ActorId::Remote { .. });
            Message::Ready {
                serial,
                peer: session
                    .peer_name
                    .as_ref()
                    .map(|peer| peer.name.clone())
                    .unwrap_or_default(),
                offered: children.filter(|cell| is_remote(cell.get_id())).collect(),
            }
        });
    }

    fn node_session_disconnected(&self, session: NodeServerSessionInformation) {
        self.tell(&session, |serial| Message::Gone { serial });
    }
}
