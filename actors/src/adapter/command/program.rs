//! Which programs may be run, and where they are.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Why a program is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The operator does not permit it.
    #[error("`{0}` is not in `[command] allow`, the list of programs that this node may run")]
    NotAllowed(String),
    /// It is not there.
    #[error("`{0}` is not an executable file on this node")]
    Missing(String),
}

/// The file that `program`, a bare name or an absolute path, stands for.
///
/// An entry of `allow` is a bare name, which permits what stands under it on `path`, or an absolute
/// path, or `*`.
///
/// # Errors
///
/// When it is not permitted, or not there.
pub fn resolve(program: &str, allow: &[String], path: &OsStr) -> Result<PathBuf, Refusal> {
    let missing = || Refusal::Missing(program.to_owned());
    let allowed = is_allowed(program, allow, path);
    if !allowed {
        return Err(Refusal::NotAllowed(program.to_owned()));
    }
    if program.starts_with('/') {
        let file = PathBuf::from(program);
        return is_executable(&file).then_some(file).ok_or_else(missing);
    }
    find(program, path).ok_or_else(missing)
}

/// Whether an operator permits `program`.
#[must_use]
pub fn is_allowed(program: &str, allow: &[String], path: &OsStr) -> bool {
    let same_file = |name: &str| {
        let file = Path::new(program);
        !name.contains('/') && file.is_absolute() && find(name, path).is_some_and(|it| it == file)
    };
    let by_path = |entry: &str| {
        !program.contains('/')
            && entry.starts_with('/')
            && find(program, path).is_some_and(|it| it == Path::new(entry))
    };
    allow
        .iter()
        .any(|entry| entry == "*" || entry == program || same_file(entry) || by_path(entry))
}

/// The first executable file called `name` in an absolute folder of `path`.
pub(super) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// The node's search path.
pub(super) fn search_path() -> std::ffi::OsString {
    env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into())
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_name_permits_only_what_stands_under_it_on_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let evil = folder.path().join("sh");
        fs::write(&evil, "").unwrap();
        fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
        let path = OsStr::new("relative:/usr/bin:/bin");
        let allow = ["sh".to_owned(), "/bin/cat".to_owned()];
        let file = resolve("sh", &allow, path).unwrap();
        assert_eq!(resolve(file.to_str().unwrap(), &allow, path), Ok(file));
        assert!(resolve("/bin/cat", &allow, path).is_ok());
        for refused in [evil.to_str().unwrap(), "env", "sh ", "SH"] {
            let answer = resolve(refused, &allow, path);
            assert_eq!(answer, Err(Refusal::NotAllowed(refused.to_owned())));
        }
    }

    #[test]
    fn a_program_that_is_not_there_or_not_executable_is_missing() {
        let all = ["*".to_owned()];
        let path = OsStr::new("/usr/bin:/bin");
        for missing in ["no-such-program", "/etc/passwd", "/bin", "/no/such"] {
            let answer = resolve(missing, &all, path);
            assert_eq!(answer, Err(Refusal::Missing(missing.to_owned())));
        }
    }
}
