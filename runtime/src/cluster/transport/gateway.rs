//! The only actor that other nodes reach: takes frames, and tells the inbox of links that come and go.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef,
    message::{BoxedDowncastErr, SerializedMessage},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::link::NetLink;
use crate::{
    cluster::{Inbox, Link},
    supervision,
};

/// Frames that wait until this end has opened the link too; the other end may be a little faster.
const EARLY: usize = 256;

pub(super) enum Message {
    /// From another node: the only message that crosses a link.
    Frame { token: Uuid, frame: Vec<u8> },
    /// ractor_cluster knows both ends and the actors that they offer.
    Ready {
        serial: u64,
        peer: String,
        offered: Vec<ActorCell>,
    },
    /// The connection was severed.
    Severed { serial: u64 },
    /// ractor_cluster has forgotten the connection.
    Gone { serial: u64 },
}

impl ractor::Message for Message {
    fn serializable() -> bool {
        true
    }

    /// The token travels beside the frame, so that neither end copies the frame.
    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        match self {
            Self::Frame { token, frame } => Ok(SerializedMessage::Cast {
                variant: String::new(),
                args: frame,
                metadata: Some(token.as_bytes().to_vec()),
            }),
            Self::Ready { .. } | Self::Severed { .. } | Self::Gone { .. } => Err(BoxedDowncastErr),
        }
    }

    /// Whatever another node sends becomes a frame or nothing.
    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Cast { args, metadata, .. } => {
                let token = metadata.as_deref().map(Uuid::from_slice);
                match token {
                    Some(Ok(token)) => Ok(Self::Frame { token, frame: args }),
                    Some(Err(_)) | None => Err(BoxedDowncastErr),
                }
            }
            SerializedMessage::Call { .. } | SerializedMessage::CallReply(..) => {
                Err(BoxedDowncastErr)
            }
        }
    }
}

impl supervision::Message for Message {
    fn name(&self) -> &'static str {
        match self {
            Self::Frame { .. } => "Frame",
            Self::Ready { .. } => "Ready",
            Self::Severed { .. } => "Severed",
            Self::Gone { .. } => "Gone",
        }
    }
}

/// The links of this process, shared by whoever makes them and the gateway that runs them.
#[derive(Default)]
pub(super) struct Table {
    links: Mutex<Links>,
    /// The gateway's number in this process; zero while none runs.
    pid: AtomicU64,
}

#[derive(Default)]
pub(super) struct Links {
    by_token: HashMap<Uuid, Slot>,
    by_serial: HashMap<u64, Arc<NetLink>>,
}

struct Slot {
    link: Arc<dyn Link>,
    stage: Stage,
}

enum Stage {
    Opening {
        early: Vec<Vec<u8>>,
        opened: oneshot::Sender<()>,
    },
    Open,
}

impl Table {
    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number by which others address the gateway.
    pub(super) fn pid(&self) -> Option<u64> {
        let pid = self.pid.load(Ordering::Acquire);
        (pid != 0).then(|| pid - 1)
    }

    /// Expects frames for a link; the receiver hears when it is open, and fails when it ends first.
    /// While there is another link to the node, that one is given back instead.
    pub(super) fn expect(
        &self,
        link: &Arc<NetLink>,
    ) -> Result<oneshot::Receiver<()>, Arc<NetLink>> {
        let mut links = self.links();
        let node = link.peer.node;
        if let Some(other) = links
            .by_serial
            .values()
            .find(|other| other.peer.node == node)
        {
            return Err(other.clone());
        }
        let (opened, is_open) = oneshot::channel();
        let early = Vec::new();
        let slot = Slot {
            link: link.clone(),
            stage: Stage::Opening { early, opened },
        };
        links.by_token.insert(link.ours, slot);
        links.by_serial.insert(link.serial, link.clone());
        Ok(is_open)
    }

    /// Every link, open or not, severed or not.
    pub(super) fn all(&self) -> Vec<Arc<NetLink>> {
        self.links().by_serial.values().cloned().collect()
    }

    /// Those that carry frames.
    pub(super) fn open(&self) -> Vec<Arc<NetLink>> {
        let links = self.links();
        let is_open = |link: &&Arc<NetLink>| {
            let slot = links.by_token.get(&link.ours);
            slot.is_some_and(|slot| matches!(slot.stage, Stage::Open))
        };
        links.by_serial.values().filter(is_open).cloned().collect()
    }

    /// Forgets a link that never became one.
    pub(super) fn forget(&self, link: &NetLink) {
        let mut links = self.links();
        let slot = links.by_token.remove(&link.ours);
        links.by_serial.remove(&link.serial);
        drop(links);
        drop(slot);
    }
}

pub(super) struct Gateway;

#[derive(Clone)]
pub(super) struct Args {
    pub(super) table: Arc<Table>,
    pub(super) inbox: Arc<dyn Inbox>,
}

impl Actor for Gateway {
    type Msg = Message;
    type State = Args;
    type Arguments = Args;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        args: Args,
    ) -> Result<Args, ActorProcessingErr> {
        args.end_all();
        let pid = myself.get_id().pid() + 1;
        args.table.pid.store(pid, Ordering::Release);
        Ok(args)
    }

    async fn post_stop(
        &self,
        _: ActorRef<Message>,
        args: &mut Args,
    ) -> Result<(), ActorProcessingErr> {
        args.table.pid.store(0, Ordering::Release);
        args.end_all();
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        args: &mut Args,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Frame { token, frame } => args.received(token, frame),
            Message::Ready {
                serial,
                peer,
                offered,
            } => args.ready(serial, &peer, offered),
            Message::Severed { serial } => args.severed(serial),
            Message::Gone { serial } => args.gone(serial),
        }
        Ok(())
    }
}

impl Args {
    fn received(&self, token: Uuid, frame: Vec<u8>) {
        let mut links = self.table.links();
        // A frame without the token of a link is from nobody: a peer cannot speak for another.
        let Some(slot) = links.by_token.get_mut(&token) else {
            return;
        };
        let link = slot.link.clone();
        match &mut slot.stage {
            Stage::Open => {
                drop(links);
                self.inbox.received(&link, frame);
            }
            Stage::Opening { early, .. } if early.len() < EARLY => early.push(frame),
            Stage::Opening { .. } => {
                drop(links);
                link.close("it sent too much before the link was open");
            }
        }
    }

    fn ready(&self, serial: u64, peer: &str, offered: Vec<ActorCell>) {
        let mut links = self.table.links();
        let Some(net) = links.by_serial.get(&serial).cloned() else {
            return;
        };
        let expected = super::sessions::full_name(&net.peer.name, net.peer.node);
        let is_gateway = |cell: &ActorCell| matches!(cell.get_id(), ActorId::Remote { pid, .. } if pid == net.hello.gateway);
        let gateway = offered.into_iter().find(is_gateway);
        let (true, Some(gateway)) = (peer == expected, gateway) else {
            net.severance
                .sever("it is another in ractor's handshake than in its certificate");
            return;
        };
        let Some(slot) = links.by_token.get_mut(&net.ours) else {
            return;
        };
        if net.severance.is_severed() {
            return;
        }
        let stage = std::mem::replace(&mut slot.stage, Stage::Open);
        let link = slot.link.clone();
        drop(links);
        let Stage::Opening { early, opened } = stage else {
            return;
        };
        net.open(gateway.into());
        let (node, end) = (net.peer.node, net.end);
        tracing::info!(%node, peer = net.peer.name, address = net.address, ?end, "a link is open");
        self.inbox.opened(link.clone());
        for frame in early {
            self.inbox.received(&link, frame);
        }
        // Whoever adopted the connection may have given up; the link stands all the same.
        let _ = opened.send(());
    }

    fn severed(&self, serial: u64) {
        let mut links = self.table.links();
        let Some(net) = links.by_serial.get(&serial).cloned() else {
            return;
        };
        let slot = links.by_token.remove(&net.ours);
        drop(links);
        if let Some(slot) = slot {
            self.end(&net, &slot);
        }
    }

    fn gone(&self, serial: u64) {
        self.severed(serial);
        let net = self.table.links().by_serial.remove(&serial);
        if let Some(net) = net {
            net.severance.sever("its session ended");
            net.gone.cancel();
        }
    }

    fn end(&self, net: &NetLink, slot: &Slot) {
        match slot.stage {
            // The slot goes with the sender, and that tells whoever waits.
            Stage::Opening { .. } => {}
            Stage::Open => {
                let (node, reason) = (net.peer.node, net.severance.reason());
                tracing::info!(%node, peer = net.peer.name, reason, "a link is closed");
                self.inbox.closed(&slot.link, reason);
            }
        }
    }

    /// With the gateway end all links: the other ends know its number.
    fn end_all(&self) {
        let Links {
            mut by_token,
            by_serial,
        } = std::mem::take(&mut *self.table.links());
        for net in by_serial.into_values() {
            net.severance.sever("the gateway of this node ended");
            if let Some(slot) = by_token.remove(&net.ours) {
                self.end(&net, &slot);
            }
            net.gone.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_sends_becomes_a_frame_or_nothing() {
        let token = Uuid::from_u128(7);
        let frame = vec![1, 2, 3];
        let cast = |metadata: Option<Vec<u8>>| SerializedMessage::Cast {
            variant: "Severed".to_owned(),
            args: vec![1, 2, 3],
            metadata,
        };
        let sent = ractor::Message::serialize(Message::Frame { token, frame }).unwrap();
        let SerializedMessage::Cast { args, metadata, .. } = sent else {
            panic!("a frame is cast");
        };
        assert_eq!(args, [1, 2, 3]);
        let read: Message = ractor::Message::deserialize(cast(metadata)).unwrap();
        assert!(matches!(read, Message::Frame { token: read, .. } if read == token));
        for forged in [None, Some(vec![]), Some(vec![7; 15]), Some(vec![7; 17])] {
            let read: Result<Message, _> = ractor::Message::deserialize(cast(forged));
            assert!(read.is_err());
        }
        let reply = SerializedMessage::CallReply(1, vec![]);
        assert!(<Message as ractor::Message>::deserialize(reply).is_err());
        let local = Message::Severed { serial: 1 };
        assert!(ractor::Message::serialize(local).is_err());
    }
}
