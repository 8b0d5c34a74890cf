//! How the trees of two moments differ, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use protocol::{
    api::{Change, Life, LifeEvent, Stale, TreeChange, TreeDiff},
    time::Timestamp,
};

use super::past::{Past, PastActor};
use crate::supervision::parent;

/// The path and the kind under which a life tells of its whole node.
pub(super) const NODE: (&str, &str) = ("/", "node");

/// What became of each actor from one moment to another, of which `life` tells what happened between.
#[must_use]
pub fn diff(before: &Past, after: &Past, life: &[LifeEvent]) -> TreeDiff {
    let reasons = Reasons::new(life, before, after);
    let (was, is) = (by_path(before), by_path(after));
    let tree = &is;
    let paths: BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
    let mut changes = Vec::new();
    for path in paths {
        let (was, is) = (was.get(path), tree.get(path));
        compare(
            path,
            &Standing::of(was),
            &Standing::of(is),
            &Standing::of(parent(path).and_then(|above| tree.get(above))),
            &reasons,
            &mut changes,
        );
    }
    TreeDiff {
        from: before.at,
        to: after.at,
        changes,
        stale: stale(before, after),
    }
}

/// Nodes of which either moment is not known, each up to where it is.
fn stale(before: &Past, after: &Past) -> Vec<Stale> {
    let both = before.stale.iter().chain(&after.stale);
    let mut stale = BTreeMap::<&str, Timestamp>::new();
    for it in both {
        let until = stale.entry(&it.node).or_insert(it.until);
        *until = it.until.min(*until);
    }
    let named = stale.into_iter().map(|(node, until)| Stale {
        node: node.to_owned(),
        until,
    });
    named.collect()
}

/// Who stands at one path, by node.
#[derive(Default)]
struct Standing<'a>(BTreeMap<&'a str, &'a PastActor>);

impl<'a> Standing<'a> {
    fn of(found: Option<&BTreeMap<&'a str, &'a PastActor>>) -> Self {
        Self(found.cloned().unwrap_or_default())
    }
}

fn by_path(past: &Past) -> HashMap<&str, BTreeMap<&str, &PastActor>> {
    let mut by_path = HashMap::<&str, BTreeMap<&str, &PastActor>>::new();
    for (node, actors) in &past.nodes {
        for (path, actor) in actors {
            by_path.entry(path).or_default().insert(node, actor);
        }
    }
    by_path
}

fn compare(
    path: &str,
    was: &Standing<'_>,
    is: &Standing<'_>,
    above: &Standing<'_>,
    reasons: &Reasons<'_>,
    changes: &mut Vec<TreeChange>,
) {
    let mut gone: BTreeMap<&str, &PastActor> = was.0.clone();
    gone.retain(|node, _| !is.0.contains_key(node));
    for (&node, &actor) in &is.0 {
        match was.0.get(node) {
            Some(former) => changes.extend(stayed(path, node, former, actor, reasons)),
            None => {
                // What an entity has below it moves with it, and does not say so itself.
                let above = above.0.get(node);
                let from = actor.restored_from.as_deref();
                let from = from.or_else(|| above.and_then(|it| it.restored_from.as_deref()));
                let from =
                    from.and_then(|from| gone.remove_entry(from).or_else(|| gone.pop_first()));
                changes.push(appeared(
                    path,
                    node,
                    actor,
                    from.map(|(node, _)| node),
                    reasons,
                ));
            }
        }
    }
    for (node, actor) in gone {
        let (at, reason) = reasons.end(node, path);
        changes.push(TreeChange {
            path: path.to_owned(),
            kind: actor.kind.clone(),
            change: Change::Ended,
            from: Some(node.to_owned()),
            to: None,
            state: None,
            at,
            reason,
        });
    }
}

fn appeared(
    path: &str,
    node: &str,
    actor: &PastActor,
    from: Option<&str>,
    reasons: &Reasons<'_>,
) -> TreeChange {
    let change = if from.is_some() {
        Change::Moved
    } else {
        Change::Began
    };
    TreeChange {
        path: path.to_owned(),
        kind: actor.kind.clone(),
        change,
        from: from.map(str::to_owned),
        to: Some(node.to_owned()),
        state: Some(actor.state.clone()),
        at: actor.started_at,
        reason: from.and_then(|from| reasons.end(from, path).1),
    }
}

fn stayed(
    path: &str,
    node: &str,
    was: &PastActor,
    is: &PastActor,
    reasons: &Reasons<'_>,
) -> Option<TreeChange> {
    let is_same = was.kind == is.kind && was.started_at == is.started_at;
    if is_same && was.state == is.state {
        return None;
    }
    let (change, at, reason) = if is_same {
        let (at, reason) = reasons.state(node, path);
        (Change::State, at, reason)
    } else {
        (
            Change::Restarted,
            is.started_at,
            reasons.failure(node, path, is),
        )
    };
    Some(TreeChange {
        path: path.to_owned(),
        kind: is.kind.clone(),
        change,
        from: Some(node.to_owned()),
        to: Some(node.to_owned()),
        state: Some(is.state.clone()),
        at,
        reason,
    })
}

/// What happened in between, to be asked why.
struct Reasons<'a> {
    by_place: HashMap<(&'a str, &'a str), Vec<&'a LifeEvent>>,
    /// When nothing tells the moment.
    latest: Timestamp,
    /// Nodes that are not as they were started at first.
    anew: BTreeSet<&'a str>,
}

impl<'a> Reasons<'a> {
    fn new(life: &'a [LifeEvent], before: &'a Past, after: &'a Past) -> Self {
        let mut by_place = HashMap::<_, Vec<_>>::new();
        for event in life {
            let place = (event.node.as_str(), event.path.as_str());
            by_place.entry(place).or_default().push(event);
        }
        let starts = before.starts.iter();
        let anew = starts.filter(|(node, start)| {
            let later = after.starts.get(*node);
            later.is_some_and(|later| later != *start)
        });
        Self {
            by_place,
            latest: after.at,
            anew: anew.map(|(node, _)| node.as_str()).collect(),
        }
    }

    /// The last event of a place that is meant.
    fn last(
        &self,
        node: &str,
        path: &str,
        is_meant: impl Fn(&LifeEvent) -> bool,
    ) -> Option<&LifeEvent> {
        let events = self.by_place.get(&(node, path))?;
        events.iter().rev().copied().find(|event| is_meant(event))
    }

    /// When and why an actor was there no more: by its own end, or with its node.
    fn end(&self, node: &str, path: &str) -> (Timestamp, Option<String>) {
        let own = self.last(node, path, |it| {
            matches!(it.what, Life::Stopped | Life::Failed | Life::Parked) && it.kind != NODE.1
        });
        let nodes = || self.last(node, NODE.0, |it| it.kind == NODE.1);
        self.told(own.or_else(nodes))
    }

    fn state(&self, node: &str, path: &str) -> (Timestamp, Option<String>) {
        self.told(self.last(node, path, |it| it.kind != NODE.1))
    }

    /// Why an actor began anew: how it failed, or who ended it, or that its node began anew.
    fn failure(&self, node: &str, path: &str, is: &PastActor) -> Option<String> {
        let failed = self.last(node, path, |it| {
            let is_asked = matches!(it.what, Life::Stopped | Life::Restarted);
            it.what == Life::Failed || (is_asked && it.reason.is_some())
        });
        let own = failed.and_then(|event| event.reason.clone());
        if !self.anew.contains(node) {
            return own;
        }
        let end = self.last(node, NODE.0, |it| it.kind == NODE.1);
        let is_later = match (failed, end) {
            (Some(failed), Some(end)) => failed.at > end.at,
            // Since its node began, it has begun again by itself.
            (Some(_), None) => is.restarts > 0,
            (None, _) => false,
        };
        if is_later {
            return own;
        }
        let why = end.and_then(|end| end.reason.as_deref());
        Some(why.map_or_else(
            || "its node was restarted".to_owned(),
            |why| format!("its node was restarted: {why}"),
        ))
    }

    fn told(&self, event: Option<&LifeEvent>) -> (Timestamp, Option<String>) {
        match event {
            Some(event) => (event.at, event.reason.clone()),
            None => (self.latest, None),
        }
    }
}
