//! How two ends become a link: greeting, handing over to ractor_cluster, and taking an earlier
//! link's place.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use protocol::wire::hello::{Greeting, Hello};
use ractor_cluster::NodeServerMessage;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsStream;
use uuid::Uuid;

use super::{
    dial::Outcome,
    fault::DialError,
    framing,
    gateway::Message,
    greeting::{self, Unwelcome},
    link::{End, Met, NetLink},
    network::Inner,
    socket::linger,
    wire::Wire,
};
use crate::cluster::{
    Link, Peer,
    hello::NOTABLE_SKEW,
    identity::{Subject, named},
};

/// How long ractor_cluster may take to agree on a connection.
const READY: Duration = Duration::from_secs(5);

/// How long it may take to forget one that was severed.
const FORGOTTEN: Duration = Duration::from_secs(2);

impl Inner {
    fn hello(&self, subject: &Subject, token: Uuid, gateway: u64) -> Hello {
        let settings = &self.settings;
        Hello {
            protocol: settings.protocol,
            cluster: subject.cluster,
            node: settings.node,
            name: subject.name.clone(),
            roles: subject.roles.clone(),
            shards: settings.shards,
            now: settings.clock.now(),
            version: settings.version.clone(),
            region: settings.region.clone(),
            mesh: settings.mesh.clone(),
            token,
            gateway,
        }
    }

    /// Says hello on a stream whose TLS stands. Whoever is refused reads why.
    pub(super) async fn greet(
        &self,
        mut stream: TlsStream<TcpStream>,
        address: &str,
        end: End,
    ) -> Outcome {
        let address = address.to_owned();
        match self.try_greet(&mut stream, &address, end).await {
            Ok(met) => Outcome::Met(Box::new(stream), Box::new(met)),
            Err(error) => {
                linger(stream).await;
                Outcome::Not(error.at(address))
            }
        }
    }

    async fn try_greet(
        &self,
        stream: &mut TlsStream<TcpStream>,
        address: &str,
        end: End,
    ) -> Result<Met, Unwelcome> {
        let chain = stream.get_ref().1.peer_certificates();
        let certified = chain.and_then(|chain| chain.first()).map(named);
        let certified = match certified {
            Some(Ok((subject, _))) => subject,
            Some(Err(error)) => return refuse(stream, error.to_string()).await,
            None => return refuse(stream, NO_CERTIFICATE.to_owned()).await,
        };
        let Some(gateway) = self.table.pid() else {
            return refuse(stream, "the node is not ready; try again".to_owned()).await;
        };
        let ours = Uuid::from_bytes(self.settings.dice.token());
        let own = self.hello(self.identity().subject(), ours, gateway);
        let awaited = AtomicBool::new(false);
        let judge = |other: &Hello, certified: &Subject| {
            if end == End::Dialled {
                let expected = self.expects_to_dial(other);
                awaited.store(expected.is_err(), Ordering::Relaxed);
                expected?;
            }
            (self.settings.admit)(other, certified)
        };
        let exchanged = greeting::exchange(stream, &own, &certified, self.clock(), &judge);
        let (hello, accord) = match exchanged.await {
            Err(Unwelcome::Refused(reason)) if awaited.into_inner() => {
                return Err(Unwelcome::Awaited(reason));
            }
            exchanged => exchanged?,
        };
        let peer = Peer {
            node: hello.node,
            name: hello.name.clone(),
            roles: certified.roles,
        };
        if accord.skew > NOTABLE_SKEW {
            let skew = accord.skew;
            tracing::warn!(peer = peer.name, ?skew, "clocks are apart; set them by NTP");
        }
        Ok(Met {
            peer,
            identity: certified.identity,
            hello,
            accord,
            address: address.to_owned(),
            end,
            ours,
        })
    }

    /// A node that was started again is at the address of an earlier start. When it listens and is
    /// later than this one, it dials; two connections would push each other out.
    fn expects_to_dial(&self, other: &Hello) -> Result<(), String> {
        let may_dial_back = self.settings.mesh.is_some();
        if may_dial_back && other.node > self.settings.node {
            let name = &other.name;
            return Err(format!(
                "`{name}` was started again and will dial `{}` itself",
                self.identity().subject().name
            ));
        }
        Ok(())
    }

    /// Hands an authenticated connection to ractor_cluster and waits until the link is open. An
    /// earlier link to the same node is closed first: ractor_cluster would keep either of the two.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        stream: TlsStream<TcpStream>,
        met: Met,
    ) -> Result<Arc<NetLink>, DialError> {
        let address = met.address.clone();
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(NetLink::new(serial, met));
        let opened = loop {
            match self.table.expect(&link) {
                Ok(opened) => break opened,
                Err(earlier) if earlier.identity == link.identity => {
                    self.supersede(&earlier).await;
                }
                Err(earlier) => return Err(posing(&link, &earlier)),
            }
        };
        self.watch(link.clone());
        let stream = Box::new(Wire {
            stream,
            label: link.label(),
            severance: link.severance.clone(),
        });
        let is_server = link.end == End::Accepted;
        let message = NodeServerMessage::ConnectionOpenedExternal { stream, is_server };
        if self.sessions.cast(message).is_err() {
            link.close("the node is not ready");
        }
        match timeout(READY, opened).await {
            Ok(Ok(())) => Ok(link),
            Ok(Err(_)) => Err(DialError::Broken {
                address,
                reason: link.severance.reason().to_owned(),
            }),
            Err(_) => {
                link.close("ractor's handshake took too long");
                Err(DialError::Silent { address })
            }
        }
    }

    async fn supersede(&self, earlier: &Arc<NetLink>) {
        earlier.close("a newer connection took its place");
        if timeout(FORGOTTEN, earlier.gone.cancelled()).await.is_err() {
            // Its session never began, so nobody will say that it is gone.
            self.table.forget(earlier);
            earlier.gone.cancel();
        }
    }

    /// Tells the gateway when the link is severed, whoever does it.
    fn watch(&self, link: Arc<NetLink>) {
        let (gateway, stop) = (self.gateway.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = link.severance.severed() => {}
                () = stop.cancelled() => link.close("this node stops"),
            }
            let serial = link.serial;
            // A gateway that is not there has ended all links.
            let _ = gateway.cast(Message::Severed { serial });
        });
    }
}

/// A start is in no certificate; the first that claims it has it while its link stands.
fn posing(link: &NetLink, earlier: &NetLink) -> DialError {
    let (name, node) = (&link.peer.name, link.peer.node);
    DialError::Refused {
        address: link.address.clone(),
        reason: format!(
            "`{name}` says that it is {node}, which `{}` is; one of the two is not who it says",
            earlier.peer.name
        ),
    }
}

const NO_CERTIFICATE: &str =
    "no certificate was shown; a node joins first, with `troupe start --join` and a token";

async fn refuse<T>(stream: &mut TlsStream<TcpStream>, reason: String) -> Result<T, Unwelcome> {
    framing::send(stream, &Greeting::Refused(reason.clone())).await?;
    Err(Unwelcome::Refused(reason))
}
