//! Who may do what: a role against what a route asks for. Pure.

use protocol::access::{Caller, Role};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// A token of this role or a higher one.
    Least(Role),
}

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// A token is needed, and there was none that is known.
    Unauthenticated,
    /// This role is needed.
    Forbidden(Role),
}

impl Access {
    /// Decides over a caller; `None` is one without a known token.
    #[must_use]
    pub fn judge(self, caller: Option<&Caller>) -> Verdict {
        match (self, caller) {
            (Self::Open, _) => Verdict::Allowed,
            (Self::Least(_), None) => Verdict::Unauthenticated,
            (Self::Least(least), Some(caller)) if caller.role >= least => Verdict::Allowed,
            (Self::Least(least), Some(_)) => Verdict::Forbidden(least),
        }
    }
}

/// As the API prints it.
#[must_use]
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Developer => "developer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 4] = [Role::Viewer, Role::Developer, Role::Operator, Role::Admin];

    #[test]
    fn a_role_may_do_what_lower_ones_may_and_nothing_more() {
        for least in ROLES {
            for role in ROLES {
                let caller = Caller {
                    role,
                    ..Caller::admin()
                };
                let verdict = Access::Least(least).judge(Some(&caller));
                let expected = if role >= least {
                    Verdict::Allowed
                } else {
                    Verdict::Forbidden(least)
                };
                assert_eq!(verdict, expected, "{role:?} against {least:?}");
            }
        }
    }

    #[test]
    fn only_open_routes_go_without_a_caller() {
        assert_eq!(Access::Open.judge(None), Verdict::Allowed);
        for least in ROLES {
            assert_eq!(Access::Least(least).judge(None), Verdict::Unauthenticated);
        }
    }
}
