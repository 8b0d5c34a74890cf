//! From a method and a path to a route. Pure.

use http::Method;

use super::{
    Route, Verb, agents, cluster, events, holds, questions, schedules, system, tasks, templates,
    tree, workflows,
};
use crate::edge::query::segment;

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A route, its number, and the parts of the path that vary, decoded.
    Route(&'static Route, usize, Vec<String>),
    /// The path is known, the method is not: what would be allowed.
    Method(String),
    /// Nothing.
    Nothing,
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Route {}

/// Looks up a path, under any of its prefixes.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let group = Group::of(path);
    let wanted = Verb::of(method);
    let mut named: Option<&str> = None;
    let mut allowed: Vec<&str> = Vec::new();
    for (number, route) in group.routes.iter().enumerate() {
        let Some(template) = route.path.strip_prefix(group.prefix) else {
            continue;
        };
        // A literal comes before what varies, in the table as here: `/agents/stats` is no agent,
        // whatever the method.
        if !fits(template, group.tail) || named.is_some_and(|first| first != template) {
            continue;
        }
        if around_rest(template).is_none() {
            named = Some(template);
        }
        if wanted == Some(route.method) {
            return match parts(template, group.tail) {
                Some(parts) => Found::Route(route, group.first + number, parts),
                None => Found::Nothing,
            };
        }
        allowed.push(route.method.as_str());
        if route.method == Verb::Get {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        Found::Nothing
    } else {
        Found::Method(allowed.join(", "))
    }
}

/// The routes that a path can belong to: looking through a third of them is three times as fast.
struct Group<'a> {
    routes: &'static [Route],
    /// The number of the first.
    first: usize,
    /// What their paths begin with, in the table.
    prefix: &'static str,
    /// The path after that, or after what stands for it.
    tail: &'a str,
}

impl<'a> Group<'a> {
    fn of(path: &'a str) -> Self {
        const AGENTS: usize = system::ROUTES.len();
        const TASKS: usize = AGENTS + agents::ROUTES.len();
        const CLUSTER: usize = TASKS + tasks::ROUTES.len();
        const HOLDS: usize = CLUSTER + cluster::ROUTES.len();
        const QUESTIONS: usize = HOLDS + holds::ROUTES.len();
        const TREE: usize = QUESTIONS + questions::ROUTES.len();
        const WORKFLOWS: usize = TREE + tree::ROUTES.len();
        const EVENTS: usize = WORKFLOWS + workflows::ROUTES.len();
        const SCHEDULES: usize = EVENTS + events::ROUTES.len();
        const TEMPLATES: usize = SCHEDULES + schedules::ROUTES.len();
        let events = |prefix, tail| Self {
            routes: events::ROUTES,
            first: EVENTS,
            prefix,
            tail,
        };
        let system = |prefix, tail| Self {
            routes: system::ROUTES,
            first: 0,
            prefix,
            tail,
        };
        let Some(rest) = path
            .strip_prefix("/api/v1/")
            .or_else(|| path.strip_prefix("/api/"))
        else {
            return match path.starts_with("/ws/") {
                true => events("", path),
                false => system("", path),
            };
        };
        let (first, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match first {
            "agents" => Self {
                routes: agents::ROUTES,
                first: AGENTS,
                prefix: "/api/v1/agents",
                tail,
            },
            "tasks" | "jobs" => Self {
                routes: tasks::ROUTES,
                first: TASKS,
                prefix: "/api/v1/tasks",
                tail,
            },
            "nodes" | "tokens" => Self {
                routes: cluster::ROUTES,
                first: CLUSTER,
                prefix: "/api/v1/",
                tail: rest,
            },
            "stop" | "pause" | "resume" | "holds" => Self {
                routes: holds::ROUTES,
                first: HOLDS,
                prefix: "/api/v1/",
                tail: rest,
            },
            "questions" => Self {
                routes: questions::ROUTES,
                first: QUESTIONS,
                prefix: "/api/v1/",
                tail: rest,
            },
            "tree" | "actors" | "life" => Self {
                routes: tree::ROUTES,
                first: TREE,
                prefix: "/api/v1/",
                tail: rest,
            },
            "workflows" | "executions" => Self {
                routes: workflows::ROUTES,
                first: WORKFLOWS,
                prefix: "/api/v1/",
                tail: rest,
            },
            "schedules" | "triggers" | "hooks" => Self {
                routes: schedules::ROUTES,
                first: SCHEDULES,
                prefix: "/api/v1/",
                tail: rest,
            },
            "task-templates" => Self {
                routes: templates::ROUTES,
                first: TEMPLATES,
                prefix: "/api/v1/",
                tail: rest,
            },
            "events" | "ws" => events("/api/v1/", rest),
            _ => system("/api/v1/", rest),
        }
    }
}

/// What stands for any number of parts: a path of the tree.
const REST: &str = "{path}";

/// The template before and after what stands for any number of parts. It may end like an action, so
/// that only the method tells which is meant.
fn around_rest(template: &str) -> Option<(&str, &str)> {
    template.split_once(REST)
}

/// What stands in `path` for any number of parts, if the rest of it is as the template says.
fn rest<'a>((before, after): (&str, &str), path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(before)?.strip_suffix(after)?;
    // The root of the tree is no part at all.
    (!rest.starts_with('/') && !rest.ends_with('/') && !rest.contains("//")).then_some(rest)
}

fn fits(template: &str, path: &str) -> bool {
    if let Some(around) = around_rest(template) {
        return rest(around, path).is_some();
    }
    let mut given = path.split('/');
    template.split('/').all(|known| {
        given.next().is_some_and(|part| {
            if known.starts_with('{') {
                !part.is_empty()
            } else {
                part == known
            }
        })
    }) && given.next().is_none()
}

fn parts(template: &str, path: &str) -> Option<Vec<String>> {
    if let Some(around) = around_rest(template) {
        let names = rest(around, path)?.split('/').map(segment);
        let names: Vec<String> = names.collect::<Option<_>>()?;
        return Some(vec![format!("/{}", names.join("/"))]);
    }
    template
        .split('/')
        .zip(path.split('/'))
        .filter(|(known, _)| known.starts_with('{'))
        .map(|(_, part)| segment(part))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(method: &Method, path: &str) -> Option<(&'static str, Vec<String>)> {
        match find(method, path) {
            Found::Route(route, number, parts) => {
                let same = super::super::routes().nth(number).unwrap();
                assert_eq!(same.id, route.id);
                Some((route.id, parts))
            }
            Found::Method(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn a_path_is_found_under_each_of_its_names() {
        let expected = Some(("getTask", vec!["t1".to_owned()]));
        for path in [
            "/api/v1/tasks/t1",
            "/api/tasks/t1",
            "/api/v1/jobs/t1",
            "/api/jobs/t1",
        ] {
            assert_eq!(id(&Method::GET, path), expected, "{path}");
            assert_eq!(id(&Method::HEAD, path), expected, "{path}");
        }
    }

    #[test]
    fn a_literal_wins_over_what_varies() {
        assert_eq!(
            id(&Method::GET, "/api/agents/stats").unwrap().0,
            "agentStats"
        );
        assert_eq!(id(&Method::GET, "/api/agents/stat").unwrap().0, "getAgent");
    }

    #[test]
    fn a_path_of_the_tree_is_the_rest_of_the_address() {
        for (method, path, route, at) in [
            (Method::GET, "/api/v1/actors/", "actor", "/"),
            (Method::GET, "/api/v1/actors/agents", "actor", "/agents"),
            (
                Method::GET,
                "/api/actors/agents/a%20b/proxy",
                "actor",
                "/agents/a b/proxy",
            ),
            (
                Method::GET,
                "/api/v1/actors/agents/restart",
                "actor",
                "/agents/restart",
            ),
            (
                Method::POST,
                "/api/v1/actors/agents/restart/stop",
                "stopActor",
                "/agents/restart",
            ),
            (
                Method::POST,
                "/api/v1/actors/tasks/t1/release",
                "releaseActor",
                "/tasks/t1",
            ),
        ] {
            assert_eq!(
                id(&method, path),
                Some((route, vec![at.to_owned()])),
                "{path}"
            );
        }
        for (path, route, at) in [
            (
                "/api/v1/actors/tasks/t1/messages",
                "actorMessages",
                "/tasks/t1",
            ),
            ("/api/v1/actors/tasks/t1/state", "entityState", "/tasks/t1"),
            ("/api/v1/actors/agents/%73tate", "actor", "/agents/state"),
            (
                "/api/v1/actors/agents/state/state",
                "entityState",
                "/agents/state",
            ),
        ] {
            let expected = Some((route, vec![at.to_owned()]));
            assert_eq!(id(&Method::GET, path), expected, "{path}");
        }
        for path in ["/api/v1/actors", "/api/v1/actors//x", "/api/v1/actors/x/"] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
        let other = find(&Method::POST, "/api/v1/actors/agents/a/explode");
        assert_eq!(other, Found::Method("GET, HEAD".to_owned()));
    }

    #[test]
    fn parts_are_decoded() {
        assert_eq!(
            id(&Method::GET, "/api/v1/agents/a%20b%2Fc").unwrap().1,
            ["a b/c".to_owned()]
        );
    }

    #[test]
    fn what_is_not_in_the_table_is_not_found() {
        for path in [
            "/",
            "",
            "/api",
            "/api/",
            "/api/v1",
            "/api/v1/",
            "/api/v1/task",
            "/api/v1/tasks/",
            "/api/v1/tasks//result",
            "/api/v1/agents/a/b/c/d",
            "/api/v1/agents/%ff",
            "/api/v2/tasks",
            "/api/v1/api/v1/tasks",
            "/health/",
            "/api/v1/health",
            "//health",
            "/metrics/x",
        ] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_would_do() {
        assert_eq!(
            find(&Method::PATCH, "/api/v1/agents/a"),
            Found::Method("GET, HEAD, PUT, DELETE".to_owned())
        );
        assert_eq!(
            find(&Method::GET, "/api/v1/agents/register/x"),
            Found::Nothing
        );
    }
}
