//! Files that steps left, wherever they lie, a piece at a time.

use std::{fmt, io, path::Path, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use protocol::{access::Caller, id::NodeId, member::NodeRole, wire::Service};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Answer, Member, Orchestrator,
    cases::{FindArtifact, Found, Recorded},
};
use crate::{
    Rejection,
    adapter::{ArtifactId, OpenArtifact},
    host::{FILE_PIECE, FileAnswer, FileRequest, write},
};

/// How long one piece may take to come from another node.
const WITHIN: Duration = Duration::from_secs(10);
/// How often a piece is asked for.
const TRIES: u32 = 3;

/// The bytes of a file, in order; an error when what follows is not what was left.
pub type Pieces = Pin<Box<dyn Stream<Item = io::Result<Vec<u8>>> + Send + Sync>>;

/// A file that a step left.
pub struct Artifact {
    /// Its bytes.
    pub length: u64,
    /// What is in it. The next piece is fetched when the one before it is taken.
    pub pieces: Pieces,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Artifact({} bytes)", self.length)
    }
}

/// Where the pieces come from.
enum Source {
    Here(Arc<OpenArtifact>),
    There(Orchestrator, Way, ArtifactId),
}

/// How the node that has a file is reached.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Who is asked.
    asked: NodeId,
    /// The node that has it, when that is another one.
    beyond: Option<NodeId>,
}

impl Orchestrator {
    /// A file that a step left, from this node's `data_dir` or from the node that ran the step.
    ///
    /// # Errors
    ///
    /// `NotFound` also when the task is not the caller's to see; `Conflict` with the code `node_gone`
    /// when the node that has the file is no member any more, `Unavailable` when it cannot be reached.
    pub async fn artifact(
        &self,
        caller: &Caller,
        id: ArtifactId,
        data_dir: &Path,
    ) -> Answer<Artifact> {
        let artifact = id.clone();
        let found = self.carry_out(caller, FindArtifact { artifact }).await?;
        if let Some(open) = open(id.clone(), data_dir).await? {
            let open = Arc::new(open);
            return begin(Source::Here(open), found.and_then(|found| found.recorded)).await;
        }
        let found = found.ok_or_else(absent)?;
        let Some(member) = self
            .0
            .member
            .as_ref()
            .filter(|_| *found.name != *self.0.name)
        else {
            return Err(absent());
        };
        let way = member.way(self, &found)?;
        begin(Source::There(self.clone(), way, id), found.recorded).await
    }
}

fn absent() -> Rejection {
    Rejection::not_found("this artifact")
}

async fn open(id: ArtifactId, data_dir: &Path) -> Answer<Option<OpenArtifact>> {
    let data_dir = data_dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || id.open(&data_dir)).await;
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => {
            tracing::warn!(%error, "an artifact could not be opened");
            Err(unreadable())
        }
        Err(_) => Err(unreadable()),
    }
}

fn unreadable() -> Rejection {
    Rejection::Unavailable {
        message: "the artifact cannot be read now".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}

impl Member {
    /// The way to the node that has the file now: the one that ran the step, or its next start. Two
    /// nodes without a store have no link; one that has it passes on what they ask.
    fn way(&self, at: &Orchestrator, found: &Found) -> Answer<Way> {
        let peers = self.peers.peers();
        let same = peers.iter().find(|peer| peer.node == found.node);
        let named = || peers.iter().find(|peer| peer.name == found.name);
        if let Some(peer) = same.or_else(named) {
            return Ok(Way {
                asked: peer.node,
                beyond: None,
            });
        }
        let name = &found.name;
        let control = peers.iter().find(|it| it.roles.has(NodeRole::Control));
        if let (Some(control), Some(node)) = (control, at.node_named(name)) {
            return Ok(Way {
                asked: control.node,
                beyond: Some(node),
            });
        }
        Err(if self.placement.lives(name) {
            Rejection::Unavailable {
                message: format!(
                    "the artifact lies on node {name}, which cannot be reached at the moment"
                ),
                retry_after: Duration::from_secs(2),
            }
        } else {
            Rejection::Conflict {
                code: "node_gone",
                message: format!(
                    "the artifact lies on node {name}, which is gone; start that node again with \
                     its data directory, or run the task again"
                ),
            }
        })
    }
}

impl Source {
    /// The length of the file, and the piece that starts there.
    async fn piece(&self, offset: u64) -> Answer<(u64, Vec<u8>)> {
        match self {
            Self::Here(open) => {
                let file = open.clone();
                let reading =
                    tokio::task::spawn_blocking(move || file.piece(offset, FILE_PIECE)).await;
                match reading {
                    Ok(Ok(piece)) => Ok((open.length, piece)),
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "an artifact could not be read");
                        Err(unreadable())
                    }
                    Err(_) => Err(unreadable()),
                }
            }
            Self::There(at, way, artifact) => fetch(at, *way, artifact, offset).await,
        }
    }
}

async fn fetch(
    at: &Orchestrator,
    Way { asked, beyond }: Way,
    artifact: &ArtifactId,
    offset: u64,
) -> Answer<(u64, Vec<u8>)> {
    let member = at.0.member.as_ref().ok_or_else(absent)?;
    let request = write(&FileRequest {
        artifact: artifact.clone(),
        offset,
        beyond,
    });
    let mut tries = 1;
    loop {
        let until = Instant::now() + WITHIN;
        let asking = member
            .carrier
            .ask_until(asked, Service::FILE, request.clone(), until);
        match asking.await.map(|answer| FileAnswer::decode(&answer)) {
            Ok(Some(FileAnswer::There { length, bytes })) => return Ok((length, bytes)),
            Ok(Some(FileAnswer::Absent)) => return Err(absent()),
            Ok(None) => return Err(unreadable()),
            Err(fault) if tries < TRIES => {
                tracing::debug!(node = %asked, %fault, "a piece of an artifact is asked for again");
                tries += 1;
            }
            Err(fault) => {
                return Err(Rejection::Unavailable {
                    message: format!("the artifact could not be fetched: {fault}"),
                    retry_after: Duration::from_secs(2),
                });
            }
        }
    }
}

/// Fetches the first piece, and the others as they are taken.
async fn begin(source: Source, recorded: Option<Recorded>) -> Answer<Artifact> {
    let (length, first) = source.piece(0).await?;
    if recorded
        .as_ref()
        .is_some_and(|recorded| recorded.bytes != length)
    {
        return Err(Rejection::Conflict {
            code: "artifact_changed",
            message: "the artifact is not as long as when the step left it".to_owned(),
        });
    }
    let (to, from) = mpsc::channel(1);
    let flow = Flow {
        source,
        length,
        hash: Sha256::new(),
        expected: recorded.map(|recorded| recorded.sha256),
        to,
    };
    tokio::spawn(flow.run(first));
    let pieces = stream::unfold(from, async |mut from| {
        let piece = from.recv().await?;
        Some((piece, from))
    });
    Ok(Artifact {
        length,
        pieces: Box::pin(pieces),
    })
}

/// A file on its way: one piece is taken, one waits.
struct Flow {
    source: Source,
    length: u64,
    hash: Sha256,
    expected: Option<String>,
    to: mpsc::Sender<io::Result<Vec<u8>>>,
}

impl Flow {
    async fn run(mut self, first: Vec<u8>) {
        let (mut piece, mut offset) = (first, 0_u64);
        loop {
            self.hash.update(&piece);
            offset += piece.len() as u64;
            let more = offset < self.length && !piece.is_empty();
            // The last piece goes out after all of them proved to be what was left.
            let sent = if more || offset == self.length && self.is_as_left() {
                Ok(piece)
            } else {
                Err(io::Error::other("the artifact is not what the step left"))
            };
            // A client that is gone needs no more.
            if self.to.send(sent).await.is_err() || !more {
                return;
            }
            piece = match self.source.piece(offset).await {
                Ok((length, piece)) if length == self.length => piece,
                Ok(_) => Vec::new(),
                Err(rejection) => {
                    let _ = self.to.send(Err(io::Error::other(rejection))).await;
                    return;
                }
            };
        }
    }

    fn is_as_left(&self) -> bool {
        let hash = self.hash.clone().finalize();
        self.expected
            .as_ref()
            .is_none_or(|expected| *expected == format!("{hash:x}"))
    }
}
