//! Which questions a caller finds in the inbox.

use protocol::{
    access::Caller,
    api::{QuestionQuery, QuestionSummary},
    question::Addressee,
};

use super::sees;

/// An inbox as one caller wants to see it.
#[derive(Debug, Clone, Copy)]
pub struct Inbox<'a> {
    /// Who looks.
    pub caller: &'a Caller,
    /// For what.
    pub query: &'a QuestionQuery,
}

impl Inbox<'_> {
    /// Whether a question of the caller's tenant belongs in it.
    #[must_use]
    pub fn holds(&self, question: &QuestionSummary) -> bool {
        let Self { caller, query } = self;
        let hands = [
            question.claimed_by.as_deref(),
            question.answered_by.as_deref(),
        ];
        let in_hand = hands.into_iter().flatten().any(|user| user == caller.user);
        let by_name = matches!(&question.to, Addressee::User(name) if *name == caller.user);
        sees(caller, &question.to, hands)
            && query.status.is_none_or(|status| status == question.status)
            && query.task.is_none_or(|task| task == question.task)
            && query.role.as_ref().is_none_or(|role| *role == question.to)
            && (!query.mine || in_hand || by_name)
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        access::Role,
        id::{QuestionId, TaskId},
        question::QuestionStatus,
        time::Timestamp,
    };
    use uuid::Uuid;

    use super::*;

    fn question(to: &str, claimed_by: Option<&str>) -> QuestionSummary {
        QuestionSummary {
            id: QuestionId::from_uuid(Uuid::nil()),
            task: TaskId::from_uuid(Uuid::nil()),
            node: "approve".to_owned(),
            user: "ann".to_owned(),
            question: "Ship it?".to_owned(),
            status: QuestionStatus::Open,
            to: to.parse().unwrap(),
            asked_at: Timestamp::default(),
            deadline: None,
            escalations: 0,
            claimed_by: claimed_by.map(str::to_owned),
            claimed_at: None,
            answered_by: None,
            by_default: false,
            settled_at: None,
        }
    }

    fn caller(user: &str, role: Role) -> Caller {
        let user = user.to_owned();
        Caller {
            user,
            role,
            ..Caller::admin()
        }
    }

    #[test]
    fn who_is_not_asked_sees_nothing_of_it() {
        let all = QuestionQuery::default();
        for (to, claimed, user, role, expected) in [
            ("operator", None, "bob", Role::Developer, false),
            // Also not the one whose task it is.
            ("operator", None, "ann", Role::Developer, false),
            ("operator", None, "bob", Role::Operator, true),
            ("developer", None, "bob", Role::Developer, true),
            ("user:bob", None, "bob", Role::Viewer, true),
            ("user:bob", None, "eve", Role::Developer, false),
            ("user:bob", None, "eve", Role::Operator, true),
            ("admin", Some("bob"), "bob", Role::Viewer, true),
        ] {
            let caller = caller(user, role);
            let inbox = Inbox {
                caller: &caller,
                query: &all,
            };
            let question = question(to, claimed);
            assert_eq!(inbox.holds(&question), expected, "{to} {user} {role:?}");
        }
    }

    #[test]
    fn filters_leave_out_what_was_not_asked_for() {
        let bob = caller("bob", Role::Operator);
        let query = |change: fn(&mut QuestionQuery)| {
            let mut query = QuestionQuery::default();
            change(&mut query);
            query
        };
        let status = query(|it| it.status = Some(QuestionStatus::Answered));
        let role = query(|it| it.role = "admin".parse().ok());
        let task = query(|it| it.task = Some(TaskId::from_uuid(Uuid::from_u128(1))));
        let mine = query(|it| it.mine = true);
        for query in [&status, &role, &task, &mine] {
            let inbox = Inbox {
                caller: &bob,
                query,
            };
            assert!(!inbox.holds(&question("operator", None)), "{query:?}");
        }
        let inbox = Inbox {
            caller: &bob,
            query: &mine,
        };
        assert!(inbox.holds(&question("operator", Some("bob"))));
        assert!(inbox.holds(&question("user:bob", None)));
    }
}
