//! The data directory: one process at a time, and files that are whole or not there.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Where the node's address stands while it runs.
pub const URL_FILE: &str = "edge.url";
/// Where the administrator's token lies.
pub const TOKEN_FILE: &str = "admin.token";
const LOCK_FILE: &str = "lock";
/// Another after each start of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Another process uses it.
    #[error("{} is in use by {}", path.display(), holder(*.pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Which process, when it could be read.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// A data directory that this process, and no other, uses until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // The kernel gives the lock back when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory, closed to other users, if it is not there, and locks it.
    ///
    /// # Errors
    ///
    /// When another process holds it, or the file system refuses.
    pub fn lock(path: &Path) -> Result<Self, DirError> {
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |source| DirError::Io { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(refused(path))?;
        let path = path.canonicalize().map_err(refused(path))?;
        // Not changed: it may be a directory of the user's with other things in it.
        if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
            tracing::warn!(path = %path.display(), "other users can look into the data directory");
        }
        let file = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(refused(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who holds it is only for the message.
                let _ = lock.read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(DirError::Locked { path, pid });
            }
            Err(TryLockError::Error(source)) => return Err(refused(&file)(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(refused(&file))?;
        Ok(Self { path, _lock: lock })
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only this user can read; whole or not at all, as after a crash.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn write(&self, name: &str, content: &str) -> Result<(), DirError> {
        let path = self.path.join(name);
        write_atomically(&path, content.as_bytes()).map_err(|source| DirError::Io { path, source })
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) {
        let path = self.path.join(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a file could not be removed");
        }
    }

    /// A file's text without the blanks around it, if the file is there.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn read(&self, name: &str) -> Result<Option<String>, DirError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DirError::Io { path, source }),
        }
    }
}

/// Which directory this is among all that ever were, as long as the machine runs: a copy of it, here or
/// elsewhere, is another. Nothing where the machine does not tell.
pub(crate) fn mark(data_dir: &Path) -> Option<String> {
    let boot = fs::read_to_string(BOOT).ok()?;
    // Whoever holds the lock keeps this file's number from being given to another.
    let lock = fs::metadata(data_dir.join(LOCK_FILE)).ok()?;
    Some(format!("{} {}:{}", boot.trim(), lock.dev(), lock.ino()))
}

/// Makes an empty file that only this user can read, unless there is one.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Writes a file that only this user can read. After a crash it holds either the old or the new
/// content, and once this returns, the new one.
///
/// # Errors
///
/// When the file system refuses.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_process_that_holds_the_first() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDir::lock(&path).unwrap();
        let error = DataDir::lock(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(&format!("is in use by process {}", std::process::id())),
            "{error}"
        );
        drop(first);
        DataDir::lock(&path).unwrap();
    }

    #[test]
    fn the_directory_and_its_files_are_closed_to_other_users() {
        let parent = tempfile::tempdir().unwrap();
        let dir = DataDir::lock(&parent.path().join("data")).unwrap();
        dir.write(TOKEN_FILE, "secret").unwrap();
        dir.write(TOKEN_FILE, "secret2\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.path().join(TOKEN_FILE)), 0o600);
        assert_eq!(dir.read(TOKEN_FILE).unwrap().as_deref(), Some("secret2"));
        assert_eq!(dir.read("absent").unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
