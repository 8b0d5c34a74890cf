//! Files that steps left, under `artifacts/TASK/STEP/ATTEMPT/NAME` of the data directory.
//!
//! A file is opened part by part below its directory, and no part may be a link: what a client
//! writes in a path, another node in a message, or a step in its directory, leads nowhere else.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
};

use protocol::id::TaskId;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

/// Which file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactId {
    /// Of which task.
    pub task: TaskId,
    /// Of which of its steps.
    pub step: String,
    /// Which attempt left it; the first is 1.
    pub attempt: u32,
    /// Its name.
    pub name: String,
}

/// A file that is open, and how long it was then.
#[derive(Debug)]
pub struct OpenArtifact {
    file: File,
    /// Its bytes.
    pub length: u64,
}

impl ArtifactId {
    /// Opens it below a data directory; `None` when it is not there. Blocks.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn open(&self, data_dir: &Path) -> io::Result<Option<OpenArtifact>> {
        let parts = [
            self.task.to_string(),
            self.step.clone(),
            self.attempt.to_string(),
            self.name.clone(),
        ];
        if !parts.iter().all(|part| is_plain(part)) {
            return Ok(None);
        }
        let opened = open(&data_dir.join("artifacts"), &parts)?;
        Ok(opened.map(|(file, length)| OpenArtifact { file, length }))
    }
}

impl OpenArtifact {
    /// Up to `most` bytes from there on; fewer only at the end. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn piece(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(most);
        let mut piece = vec![0; most.min(left)];
        self.file.read_exact_at(&mut piece, offset)?;
        Ok(piece)
    }
}

/// Whether a part names something directly below a directory.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 255
        && part != "."
        && part != ".."
        && !part
            .chars()
            .any(|letter| matches!(letter, '/' | '\\') || letter.is_control())
}

/// Opens the regular file at `below`, without following links; `None` when there is none.
fn open(root: &Path, below: &[String]) -> io::Result<Option<(File, u64)>> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    // NONBLOCK: a pipe in place of a file must not hold a thread.
    let plain = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Some((name, directories)) = below.split_last() else {
        return Ok(None);
    };
    let walk = || -> rustix::io::Result<OwnedFd> {
        let mut at = rustix::fs::open(root, directory, Mode::empty())?;
        for part in directories {
            at = rustix::fs::openat(&at, part, directory, Mode::empty())?;
        }
        rustix::fs::openat(&at, name, plain, Mode::empty())
    };
    use rustix::io::Errno;
    match walk() {
        Ok(file) => {
            let file = File::from(file);
            let about = file.metadata()?;
            Ok(about.is_file().then_some((file, about.len())))
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn a_file_is_found_and_nothing_outside_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("artifacts");
        let here = root.join("t/s/1");
        std::fs::create_dir_all(&here).unwrap();
        std::fs::write(here.join("report.md"), "hello").unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), here.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("t/s/2")).unwrap();

        let (_, length) = open(&root, &parts(&["t", "s", "1", "report.md"]))
            .unwrap()
            .unwrap();
        assert_eq!(length, 5);
        for wrong in [
            ["t", "s", "1", "absent"],
            ["t", "s", "1", "link"],
            ["t", "s", "2", "secret"],
            ["t", "s", "1", "report.md/x"],
        ] {
            assert!(open(&root, &parts(&wrong)).unwrap().is_none(), "{wrong:?}");
        }
        assert!(
            open(&root, &parts(&["t", "s", "1"])).unwrap().is_none(),
            "a directory is no file"
        );
    }

    #[test]
    fn a_file_is_read_piece_by_piece_and_names_lead_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let id = ArtifactId {
            task: TaskId::from_uuid(uuid::Uuid::from_u128(5)),
            step: "s".to_owned(),
            attempt: 2,
            name: "report.md".to_owned(),
        };
        let place = dir.path().join(format!("artifacts/{}/s/2", id.task));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("report.md"), "hello").unwrap();
        std::fs::write(dir.path().join("artifacts/secret"), "secret").unwrap();
        let open = id.open(dir.path()).unwrap().unwrap();
        assert_eq!(open.piece(0, 3).unwrap(), b"hel");
        assert_eq!(open.piece(3, 3).unwrap(), b"lo");
        assert_eq!(open.piece(9, 3).unwrap(), b"");
        for name in ["../../../secret", "..", "", "a/b"] {
            let name = name.to_owned();
            let wrong = ArtifactId { name, ..id.clone() };
            assert!(wrong.open(dir.path()).unwrap().is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_part_names_one_thing_below() {
        for wrong in ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", &"x".repeat(256)] {
            assert!(!is_plain(wrong), "{wrong:?}");
        }
        assert!(is_plain("report (1).md") && is_plain("...") && is_plain("ä"));
    }
}
