//! Files that steps left, under `artifacts/TASK/STEP/ATTEMPT/NAME` of the data directory.
//!
//! A file is opened part by part below its directory, and no part may be a link: what a client
//! writes in a path, or a step in its directory, leads nowhere else.

use std::{io, os::fd::OwnedFd};

use futures_util::{Stream, stream};
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
};
use hyper::body::Bytes;
use protocol::id::TaskId;
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt;
use warp::Reply;

use super::{answer::Answer, problem::Refused, shared::Shared};

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

pub(super) async fn serve(
    shared: &Shared,
    task: TaskId,
    parts: &[String],
) -> Result<Answer, Refused> {
    let absent = || Refused::not_found("this artifact");
    let [_, step, attempt, name] = parts else {
        return Err(Refused::bug());
    };
    let below = [
        task.to_string(),
        step.clone(),
        attempt.clone(),
        name.clone(),
    ];
    if !below.iter().all(|part| is_plain(part)) {
        return Err(absent());
    }
    let root = shared.data_dir.join("artifacts");
    let opened = tokio::task::spawn_blocking(move || open(&root, &below)).await;
    let (file, length) = match opened {
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return Err(absent()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "an artifact could not be opened");
            return Err(Refused::unavailable(
                "unavailable",
                "the artifact cannot be read now",
            ));
        }
        Err(_) => return Err(Refused::bug()),
    };
    let mut response = warp::reply::stream(pieces(tokio::fs::File::from_std(file))).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_DISPOSITION, disposition(name));
    Ok(Answer::Streamed(response))
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
fn open(root: &std::path::Path, below: &[String]) -> io::Result<Option<(std::fs::File, u64)>> {
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
            let file = std::fs::File::from(file);
            let about = file.metadata()?;
            Ok(about.is_file().then_some((file, about.len())))
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn pieces(file: tokio::fs::File) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    stream::try_unfold(file, async |mut file| {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece).await?;
        piece.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(piece), file)))
    })
}

/// To be saved under its name, whatever letters that has.
fn disposition(name: &str) -> HeaderValue {
    use std::fmt::Write;
    let mut value = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            value.push(char::from(byte));
        } else {
            let _ = write!(value, "%{byte:02X}");
        }
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
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
    fn a_part_names_one_thing_below() {
        for wrong in ["", ".", "..", "a/b", "a\\b", "a\0", "a\n", &"x".repeat(256)] {
            assert!(!is_plain(wrong), "{wrong:?}");
        }
        assert!(is_plain("report (1).md") && is_plain("...") && is_plain("ä"));
    }

    #[test]
    fn a_name_cannot_break_its_header() {
        assert_eq!(
            disposition("a\"\r\nX: ä.md"),
            "attachment; filename*=UTF-8''a%22%0D%0AX%3A%20%C3%A4.md"
        );
    }
}
