//! The private directory of an attempt: what it finds there, and what is kept of what it leaves.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::adapter::Call;

const MAX_ARTIFACTS: usize = 64;
const MAX_ARTIFACT: u64 = 16 * 1024 * 1024;

/// Where attempts of all tasks have their directories.
pub(super) fn work(data_dir: &Path) -> PathBuf {
    data_dir.join("work")
}

/// A file that an attempt left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Artifact {
    name: String,
    path: String,
    bytes: u64,
    sha256: String,
}

/// The private directory of an attempt.
#[derive(Debug)]
pub(super) struct WorkDir {
    /// The directory itself.
    pub(super) path: PathBuf,
    /// Made before the program starts: when it has ended there may be no room for a directory.
    artifacts: PathBuf,
    taken: HashSet<String>,
}

impl WorkDir {
    /// Makes it, with the outputs of the steps that this one needs.
    pub(super) fn prepare(data_dir: &Path, call: &Call) -> io::Result<Self> {
        if !is_plain(&call.step) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let place = Path::new(&call.task.to_string()).join(&call.step);
        let step = work(data_dir).join(&place);
        let attempt = call.attempt.to_string();
        let prepared = Self {
            path: step.join(&attempt),
            artifacts: data_dir.join("artifacts").join(place).join(attempt),
            taken: HashSet::new(),
        };
        // Of an attempt of the same number whose node died.
        remove(&prepared.path);
        make(&prepared.path.join("artifacts"))?;
        make(&prepared.artifacts)?;
        if !call.needs.is_empty() {
            make(&prepared.path.join("needs"))?;
            lay_out(&call.needs, &prepared.path.join("needs"), data_dir)?;
        }
        Ok(prepared)
    }

    /// Keeps the regular files that the program put into `artifacts/`, and says which it did not.
    pub(super) fn collect(&mut self) -> io::Result<(Vec<Artifact>, Vec<String>)> {
        let left = self.path.join("artifacts");
        let (mut kept, mut skipped) = (Vec::new(), Vec::new());
        // The program may have put something else in its place.
        if !fs::symlink_metadata(&left).is_ok_and(|meta| meta.is_dir()) {
            return Ok((kept, skipped));
        }
        let mut entries = fs::read_dir(&left)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let meta = entry.metadata()?;
            let fault = if !meta.is_file() {
                Some("not a regular file")
            } else if meta.nlink() > 1 {
                Some("has other names")
            } else if meta.len() > MAX_ARTIFACT {
                Some("longer than 16 MiB")
            } else if kept.len() >= MAX_ARTIFACTS {
                Some("more than 64 files")
            } else {
                None
            };
            match fault {
                Some(fault) => skipped.push(format!("{name}: {fault}")),
                None => match self.take(&entry.path(), &name) {
                    Err(error) if lacks_room(&error) => skipped.push(format!("{name}: {error}")),
                    taken => kept.push(taken?),
                },
            }
        }
        Ok((kept, skipped))
    }

    /// Keeps the file `left` as an artifact.
    fn take(&mut self, left: &Path, name: &str) -> io::Result<Artifact> {
        fs::set_permissions(left, Permissions::from_mode(0o600))?;
        let target = self.place(name)?;
        fs::rename(left, &target)?;
        describe(&target)
    }

    /// Keeps `bytes` as an artifact.
    pub(super) fn keep(&mut self, name: &str, bytes: &[u8]) -> io::Result<Artifact> {
        let target = self.place(name)?;
        fs::write(&target, bytes).inspect_err(|_| {
            // Half of it would pass for the whole, and takes room.
            let _ = fs::remove_file(&target);
        })?;
        fs::set_permissions(&target, Permissions::from_mode(0o600))?;
        describe(&target)
    }

    /// A place among the artifacts that nothing has yet.
    fn place(&mut self, name: &str) -> io::Result<PathBuf> {
        make(&self.artifacts)?;
        let name = sanitised(name);
        let mut free = name.clone();
        let mut number = 1;
        while !self.taken.insert(free.clone()) {
            number += 1;
            free = format!("{number}-{name}");
        }
        Ok(self.artifacts.join(free))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.path);
        // Those of the step and the task stay while other attempts use them, or files are kept there.
        let parents = self.path.ancestors().skip(1).take(2);
        for empty in parents.chain(self.artifacts.ancestors().take(3)) {
            let _ = fs::remove_dir(empty);
        }
    }
}

/// Whether a file could not be kept because the disk is full: no reason to throw a result away.
pub(super) fn lacks_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Makes a directory for us alone, and what is missing above it.
fn make(directory: &Path) -> io::Result<()> {
    let mut again = 3;
    loop {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        match made {
            // An attempt that ended beside this one took the common parent away.
            Err(error) if error.kind() == io::ErrorKind::NotFound && again > 0 => again -= 1,
            made => return made,
        }
    }
}

/// Removes a directory, also when the program took our rights to parts of it.
pub(super) fn remove(directory: &Path) {
    let Err(error) = fs::remove_dir_all(directory) else {
        return;
    };
    if error.kind() == io::ErrorKind::PermissionDenied {
        open_up(directory);
    }
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(?directory, %error, "a working directory could not be removed");
    }
}

fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// One file for each needed step: text of a command, or JSON.
fn lay_out(needs: &Map<String, Value>, directory: &Path, data_dir: &Path) -> io::Result<()> {
    for (step, output) in needs.iter().filter(|(step, _)| is_plain(step)) {
        let text = output.get("stdout").and_then(Value::as_str);
        match text.filter(|_| output.get("exit_code").is_some()) {
            Some(text) => {
                let file = directory.join(format!("{step}.txt"));
                match whole_output(output, data_dir) {
                    Some(whole) => fs::copy(whole, file).map(drop)?,
                    None => fs::write(file, text)?,
                }
            }
            None => {
                let file = File::create(directory.join(format!("{step}.json")))?;
                let json = output.get("json").unwrap_or(output);
                serde_json::to_writer_pretty(io::BufWriter::new(file), json)?;
            }
        }
    }
    Ok(())
}

/// The artifact that holds what `stdout` shows only the beginning of.
fn whole_output(output: &Value, data_dir: &Path) -> Option<PathBuf> {
    let artifacts = output.get("artifacts")?.as_array()?;
    let named = |artifact: &&Value| artifact.get("name") == Some(&WHOLE_STDOUT.into());
    let path = artifacts.iter().find(named)?.get("path")?.as_str()?;
    let path = Path::new(path);
    let ours = path.starts_with(data_dir.join("artifacts"))
        && path.components().all(|part| part != Component::ParentDir);
    let cut = output.get("truncated") == Some(&Value::Bool(true));
    (ours && cut && path.is_file()).then(|| path.to_owned())
}

/// Under this name a long standard output is kept.
pub(super) const WHOLE_STDOUT: &str = "stdout.txt";

fn describe(file: &Path) -> io::Result<Artifact> {
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut File::open(file)?, &mut hash)?;
    let name = file.file_name().unwrap_or_default();
    Ok(Artifact {
        name: name.to_string_lossy().into_owned(),
        path: file.to_string_lossy().into_owned(),
        bytes,
        sha256: format!("{:x}", hash.finalize()),
    })
}

/// Whether a name is exactly one part of a path.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(part)) if part == name) && parts.next().is_none()
}

/// A name that means nothing to a shell, a terminal or a browser.
fn sanitised(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String = name
        .chars()
        .take(120)
        .map(|letter| if plain(letter) { letter } else { '_' })
        .collect();
    match name.strip_prefix(['.', '-']) {
        Some(rest) => format!("_{rest}"),
        None if name.is_empty() => "_".to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;
    use crate::adapter::tests::call;

    fn prepared(data_dir: &Path) -> WorkDir {
        WorkDir::prepare(data_dir, &call(Value::Null)).unwrap()
    }

    #[test]
    fn needed_outputs_lie_there_as_text_or_json() {
        let data = tempfile::tempdir().unwrap();
        let mut call = call(Value::Null);
        let needs = json!({
            "text": { "exit_code": 0, "stdout": "hello\n", "artifacts": [] },
            "json": { "exit_code": 0, "json": [1] },
            "other": { "stdout": 1 },
            "../x": 1,
        });
        call.needs = needs.as_object().unwrap().clone();
        let work = WorkDir::prepare(data.path(), &call).unwrap();
        let read = |name: &str| fs::read_to_string(work.path.join("needs").join(name)).unwrap();
        assert_eq!(read("text.txt"), "hello\n");
        assert_eq!(read("json.json"), "[\n  1\n]");
        assert_eq!(read("other.json"), "{\n  \"stdout\": 1\n}");
        assert_eq!(fs::read_dir(work.path.join("needs")).unwrap().count(), 3);
        assert!(!work.path.join("x.json").exists());
    }

    #[test]
    fn a_needed_output_that_was_cut_lies_there_whole() {
        let data = tempfile::tempdir().unwrap();
        let mut first = prepared(data.path());
        let whole = first.keep(WHOLE_STDOUT, b"all of it").unwrap();
        let mut second = call(Value::Null);
        second.step = "two".to_owned();
        let output = json!({
            "exit_code": 0, "stdout": "all", "truncated": true, "artifacts": [whole],
        });
        second.needs.insert("one".to_owned(), output);
        let work = WorkDir::prepare(data.path(), &second).unwrap();
        let text = fs::read_to_string(work.path.join("needs/one.txt")).unwrap();
        assert_eq!(text, "all of it");
    }

    #[test]
    fn only_plain_files_of_fair_size_are_kept_under_harmless_names() {
        let data = tempfile::tempdir().unwrap();
        let mut work = prepared(data.path());
        let left = work.path.join("artifacts");
        for name in ["report.md", ".hidden", "a b", "a_b", "x\u{1b}[2J"] {
            fs::write(left.join(name), name).unwrap();
        }
        symlink("/etc/passwd", left.join("link")).unwrap();
        fs::hard_link(left.join("report.md"), work.path.join("again")).unwrap();
        fs::create_dir(left.join("folder")).unwrap();
        let huge = File::create(left.join("huge")).unwrap();
        huge.set_len(MAX_ARTIFACT + 1).unwrap();
        let (kept, skipped) = work.collect().unwrap();
        let names: Vec<&str> = kept.iter().map(|artifact| artifact.name.as_str()).collect();
        assert_eq!(names, ["_hidden", "a_b", "2-a_b", "x__2J"]);
        assert_eq!(
            skipped,
            [
                "folder: not a regular file",
                "huge: longer than 16 MiB",
                "link: not a regular file",
                "report.md: has other names",
            ]
        );
        assert_eq!(fs::read_to_string(&kept[1].path).unwrap(), "a b");
        let hash = "c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65";
        assert_eq!((kept[1].bytes, kept[1].sha256.as_str()), (3, hash));
    }

    #[test]
    fn an_artifacts_folder_that_became_a_link_gives_nothing_away() {
        let data = tempfile::tempdir().unwrap();
        let secret = tempfile::tempdir().unwrap();
        fs::write(secret.path().join("key"), "secret").unwrap();
        let mut work = prepared(data.path());
        fs::remove_dir(work.path.join("artifacts")).unwrap();
        symlink(secret.path(), work.path.join("artifacts")).unwrap();
        assert_eq!(work.collect().unwrap(), (Vec::new(), Vec::new()));
        drop(work);
        assert!(secret.path().join("key").exists());
    }

    #[test]
    fn there_is_a_place_for_artifacts_before_there_are_any_and_an_empty_one_goes() {
        for left in [Some("report.md"), None] {
            let data = tempfile::tempdir().unwrap();
            let mut work = prepared(data.path());
            assert!(work.artifacts.is_dir());
            if let Some(name) = left {
                fs::write(work.path.join("artifacts").join(name), name).unwrap();
            }
            assert_eq!(work.collect().unwrap().0.len(), left.iter().count());
            let place = work.artifacts.clone();
            drop(work);
            assert_eq!(place.exists(), left.is_some());
        }
    }

    #[test]
    fn the_directory_is_private_and_goes_with_the_attempt() {
        let data = tempfile::tempdir().unwrap();
        let work = prepared(data.path());
        let path = work.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::set_permissions(path.join("a"), Permissions::from_mode(0o000)).unwrap();
        drop(work);
        assert_eq!(fs::read_dir(super::work(data.path())).unwrap().count(), 0);
    }

    #[test]
    fn a_step_whose_name_is_a_path_gets_no_directory() {
        let data = tempfile::tempdir().unwrap();
        for step in ["..", "a/b", "/", "", "."] {
            let call = Call {
                step: step.to_owned(),
                ..call(Value::Null)
            };
            assert!(WorkDir::prepare(data.path(), &call).is_err(), "{step:?}");
        }
    }
}
