//! What a node keeps of its cluster in the folder `mesh` of its data directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use protocol::{id::NodeId, wire::join::Seat};
use runtime::cluster::identity::{Authority, Identity, IdentityError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::node::{mark, write_atomically};

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
pub(crate) struct Papers {
    folder: PathBuf,
    /// Tells the data directory from a copy of it.
    mark: Option<String>,
}

impl Papers {
    /// Below a data directory; made if it is not there.
    pub(crate) fn of(data_dir: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = data_dir.join("mesh");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let mark = mark(data_dir);
        Ok(Self { folder, mark })
    }

    /// Whether the node with this data directory has had the store of a server already.
    #[cfg(feature = "cli")]
    pub(crate) fn name_a_server(data_dir: &Path) -> bool {
        let papers = Self {
            folder: data_dir.join("mesh"),
            mark: None,
        };
        let told = papers.membership().ok().flatten();
        told.is_some_and(|membership| membership.store.is_some())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn identity(&self) -> Result<Option<Identity>, IdentityError> {
        self.there(IDENTITY)
            .then(|| Identity::load(&self.folder))
            .transpose()
    }

    pub(crate) fn authority(&self) -> Result<Option<Authority>, IdentityError> {
        self.there(AUTHORITY)
            .then(|| Authority::load(&self.folder))
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
        write_atomically(&self.folder.join(CLUSTER), &text)
    }

    /// The start of this node before this one, if it is dead for certain: it had the lock of this very
    /// directory, which this process has now. The lock of a copy proves nothing.
    pub(crate) fn former(&self) -> io::Result<Option<NodeId>> {
        let text = self.read(START)?.unwrap_or_default();
        let (node, mark) = text.trim().split_once('\n').unwrap_or_default();
        let is_here = self.mark.as_deref() == Some(mark);
        Ok(node.parse().ok().filter(|_| is_here))
    }

    pub(crate) fn starts(&self, node: NodeId) -> io::Result<()> {
        let mark = self.mark.as_deref().unwrap_or_default();
        write_atomically(
            &self.folder.join(START),
            format!("{node}\n{mark}\n").as_bytes(),
        )
    }

    fn there(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.folder.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::node::DataDir;

    #[test]
    fn only_the_lock_of_the_very_directory_proves_that_the_start_before_is_dead() {
        let parent = tempfile::tempdir().unwrap();
        let papers = |name: &str| {
            let dir = DataDir::lock(&parent.path().join(name)).unwrap();
            (Papers::of(dir.path()).unwrap(), dir)
        };
        let node = NodeId::from_uuid(Uuid::from_u128(7));
        let (original, held) = papers("original");
        assert_eq!(original.former().unwrap(), None);
        original.starts(node).unwrap();
        drop(held);
        let (again, _held) = papers("original");
        assert_eq!(again.former().unwrap(), Some(node));

        let (copy, _lock) = papers("copy");
        fs::copy(again.folder().join(START), copy.folder().join(START)).unwrap();
        assert_eq!(copy.former().unwrap(), None);
        // As builds before this one wrote it.
        fs::write(again.folder().join(START), node.to_string()).unwrap();
        assert_eq!(again.former().unwrap(), None);
    }
}
