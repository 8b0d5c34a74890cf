//! What a node keeps of its cluster in the folder `mesh` of its data directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use protocol::{id::NodeId, wire::join::Seat};
use runtime::cluster::identity::{Authority, Identity, IdentityError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::node::write_atomically;

const CLUSTER: &str = "cluster.json";
const START: &str = "node";
const IDENTITY: &str = "identity.pem";
const AUTHORITY: &str = "authority.pem";

/// The cluster as it was told when this node joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) cluster: Uuid,
    pub(crate) shards: u16,
    /// Where the store is, for nodes that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    /// Whom to dial first.
    pub(crate) peers: Vec<Seat>,
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Papers(PathBuf);

impl Papers {
    /// Below a data directory; made if it is not there.
    pub(crate) fn of(data_dir: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = data_dir.join("mesh");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self(folder))
    }

    /// Whether the node with this data directory has had the store of a server already.
    #[cfg(feature = "cli")]
    pub(crate) fn name_a_server(data_dir: &Path) -> bool {
        let papers = Self(data_dir.join("mesh"));
        let told = papers.membership().ok().flatten();
        told.is_some_and(|membership| membership.store.is_some())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn identity(&self) -> Result<Option<Identity>, IdentityError> {
        self.there(IDENTITY)
            .then(|| Identity::load(&self.0))
            .transpose()
    }

    pub(crate) fn authority(&self) -> Result<Option<Authority>, IdentityError> {
        self.there(AUTHORITY)
            .then(|| Authority::load(&self.0))
            .transpose()
    }

    pub(crate) fn membership(&self) -> io::Result<Option<Membership>> {
        let Some(text) = self.read(CLUSTER)? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| io::Error::other(format!("{CLUSTER} cannot be read: {error}")))
    }

    pub(crate) fn keep(&self, membership: &Membership) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(membership)?;
        write_atomically(&self.0.join(CLUSTER), &text)
    }

    /// The start of this node before this one: dead, since its directory is locked by this process.
    pub(crate) fn former(&self) -> io::Result<Option<NodeId>> {
        Ok(self.read(START)?.and_then(|text| text.trim().parse().ok()))
    }

    pub(crate) fn starts(&self, node: NodeId) -> io::Result<()> {
        write_atomically(&self.0.join(START), node.to_string().as_bytes())
    }

    fn there(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.0.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
