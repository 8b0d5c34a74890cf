//! Where entities stand in the supervision tree: a path says whose it is.
//!
//! `/agents/reviewer` belongs to the tenant that everything belongs to until there is a second one,
//! `/agents/acme~reviewer` to `acme`. So two tenants may use one name, and what a caller may see can
//! be told from the path alone, of now as of then.

use std::fmt::Write;

use crate::access::DEFAULT_TENANT;

/// What stands between a tenant and a name; neither has one.
const MARK: char = '~';

/// What runs a node, and belongs to nobody.
const MACHINERY: &str = "system";

/// The path of what is called `name` and belongs to `tenant`.
#[must_use]
pub fn path(folder: &str, tenant: &str, name: &str) -> String {
    format!("/{folder}/{}{name}", prefix(tenant))
}

/// What a caller may know of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// All of it: the default tenant's callers run the cluster.
    All,
    /// What is this tenant's, and what belongs to nobody.
    Of(&'a str),
}

impl<'a> Sight<'a> {
    /// What callers of `tenant` may know.
    #[must_use]
    pub fn of(tenant: &'a str) -> Self {
        if tenant == DEFAULT_TENANT {
            Self::All
        } else {
            Self::Of(tenant)
        }
    }

    /// Whether what stands at `path` may be known.
    #[must_use]
    pub fn sees(self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(_) => self.sees_all_of(path) || is_nobodys(path),
        }
    }

    /// Whether also its errors may be known: those of what belongs to nobody may tell of others.
    #[must_use]
    pub fn sees_all_of(self, path: &str) -> bool {
        match (self, names(path)) {
            (Self::All, _) => true,
            (Self::Of(_), (None | Some(MACHINERY), _) | (Some(_), None)) => false,
            (Self::Of(tenant), (Some(_), Some(name))) => name.starts_with(&prefix(tenant)),
        }
    }
}

/// Whether what stands at `path` runs the node, and belongs to no tenant.
#[must_use]
pub fn is_nobodys(path: &str) -> bool {
    match names(path) {
        (None | Some(MACHINERY), _) | (Some(_), None) => true,
        (Some(_), Some(_)) => false,
    }
}

/// The path that a caller of `tenant` means, who may leave its own tenant out.
#[must_use]
pub fn meant_by(path: &str, tenant: &str) -> String {
    match names(path) {
        (Some(folder), Some(name)) if folder != MACHINERY && !name.contains(MARK) => {
            let rest = path.get(folder.len() + 2..).unwrap_or_default();
            format!("/{folder}/{}{rest}", prefix(tenant))
        }
        _ => path.to_owned(),
    }
}

/// The name at `path` without its tenant, if it is of this one.
#[must_use]
pub fn name_in<'a>(name: &'a str, tenant: &str) -> Option<&'a str> {
    let name = name.strip_prefix(&prefix(tenant))?;
    (!name.contains(MARK)).then_some(name)
}

/// The first two names of a path.
fn names(path: &str) -> (Option<&str>, Option<&str>) {
    let mut names = path.split('/').skip(1).filter(|name| !name.is_empty());
    (names.next(), names.next())
}

fn prefix(tenant: &str) -> String {
    if tenant == DEFAULT_TENANT {
        return String::new();
    }
    let mut prefix = String::with_capacity(tenant.len() + 1);
    for byte in tenant.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            prefix.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(prefix, "!{byte:02X}");
        }
    }
    prefix.push(MARK);
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_the_tenant_that_it_names_and_of_no_other() {
        assert_eq!(path("agents", DEFAULT_TENANT, "echo"), "/agents/echo");
        assert_eq!(path("agents", "acme", "echo"), "/agents/acme~echo");
        assert_eq!(path("agents", "a/c~", "echo"), "/agents/a!2Fc!7E~echo");
        for (path, tenant, expected) in [
            ("/agents/acme~echo", "acme", true),
            ("/agents/acme~echo/proxy", "acme", true),
            ("/agents/acme~echo", "acm", false),
            ("/agents/acme~echo", "acme~", false),
            ("/agents/acme~echo", "evil", false),
            ("/agents/echo", "acme", false),
            ("//agents//echo", "acme", false),
            ("/whatever/echo", "acme", false),
            ("/agents", "acme", true),
            ("/", "acme", true),
            ("/system/mesh/gateway", "acme", true),
            ("/agents/acme~echo", DEFAULT_TENANT, true),
        ] {
            assert_eq!(Sight::of(tenant).sees(path), expected, "{path} {tenant}");
        }
    }

    #[test]
    fn the_errors_of_what_belongs_to_nobody_are_the_default_tenants_to_see() {
        for (path, tenant, expected) in [
            ("/system/mesh", "acme", false),
            ("/tasks", "acme", false),
            ("/tasks/acme~task_1", "acme", true),
            ("/system/mesh", DEFAULT_TENANT, true),
        ] {
            assert_eq!(
                Sight::of(tenant).sees_all_of(path),
                expected,
                "{path} {tenant}"
            );
        }
        assert!(is_nobodys("/system/x") && !is_nobodys("/tasks/task_1"));
    }

    #[test]
    fn a_caller_may_leave_its_own_tenant_out() {
        for (path, tenant, expected) in [
            ("/agents/echo/proxy", "acme", "/agents/acme~echo/proxy"),
            ("/agents/acme~echo", "acme", "/agents/acme~echo"),
            ("/agents/evil~echo", "acme", "/agents/evil~echo"),
            ("/system/mesh", "acme", "/system/mesh"),
            ("/agents", "acme", "/agents"),
            ("/agents/echo", DEFAULT_TENANT, "/agents/echo"),
        ] {
            assert_eq!(meant_by(path, tenant), expected);
        }
        assert_eq!(name_in("acme~echo", "acme"), Some("echo"));
        assert_eq!(name_in("acme~echo", DEFAULT_TENANT), None);
        assert_eq!(name_in("echo", DEFAULT_TENANT), Some("echo"));
        assert_eq!(name_in("echo", "acme"), None);
    }
}
