//! Renews the node's lease and keeps its roster, as membership does.

use std::time::Duration;

use runtime::{membership::Roster, store::Survey};

use super::Standing;
use crate::{
    bug::Bug,
    store::{Answer, Ask, Told},
    world::World,
};

impl World {
    pub(crate) fn enter(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.renewing = true;
        let member = Box::new(node.member.clone());
        let former = node.former;
        let sent = node.boot();
        self.ask(
            n,
            Ask::Enter {
                member,
                former,
                sent,
            },
        );
    }

    pub(crate) fn look(&mut self, n: usize) {
        self.check_fence(n);
        let node = &mut self.nodes[n];
        let now = node.boot();
        let due = node.sent.is_none_or(|sent| now >= sent + self.timing.renew);
        if due && !node.renewing {
            node.sent = Some(now);
            if node.fence.left() == Some(Duration::ZERO) && node.former != Some(node.id()) {
                // It never became a member.
                self.enter(n);
            } else {
                node.renewing = true;
                self.ask(n, Ask::Renew { sent: now });
            }
        }
        self.survey(n);
    }

    pub(crate) fn check_fence(&mut self, n: usize) {
        let node = &self.nodes[n];
        if node.fence.left() == Some(Duration::ZERO) && node.standing == Standing::Member {
            self.fenced(n);
        }
    }

    pub(crate) fn survey(&mut self, n: usize) {
        if std::mem::replace(&mut self.nodes[n].surveying, true) {
            self.nodes[n].again = true;
        } else {
            self.ask(n, Ask::Survey);
        }
    }

    /// The lease is over: known, or by this node's own clock.
    pub(crate) fn fenced(&mut self, n: usize) {
        self.trace(format_args!("node {n} is fenced"));
        let node = &mut self.nodes[n];
        node.fence.lower();
        node.steady = None;
        node.standing = Standing::Fenced;
        self.abandon_attempts(n);
        self.place(n);
    }

    /// The store confirmed the lease by an answer to what was sent at `sent`.
    pub(crate) fn confirmed(&mut self, n: usize, sent: Duration) {
        let timing = self.timing;
        let node = &mut self.nodes[n];
        let since = match node.steady {
            Some((since, last)) if sent.saturating_sub(last) <= timing.ttl / 2 => since,
            Some(_) | None => sent,
        };
        node.steady = Some((since, sent));
        // Those that held an attempt of this node for lost while its lease was over were right.
        if node.standing == Standing::Fenced && node.former == Some(node.id()) {
            node.anew = Some(node.wall());
        }
        let until = match self.bug {
            Some(Bug::NoMargin) => sent + timing.ttl,
            _ => timing.acts_until(sent),
        };
        node.fence.extend(until);
        node.standing = Standing::Member;
        // From now on it renews.
        node.former = Some(node.id());
        self.place(n);
    }

    pub(crate) fn renewed(&mut self, n: usize, sent: Duration, answer: &Told) {
        self.nodes[n].renewing = false;
        match answer.as_deref() {
            Ok(Answer::Renewed(true)) => self.confirmed(n, sent),
            Ok(Answer::Renewed(false)) => {
                self.fenced(n);
                self.enter(n);
            }
            Ok(Answer::Entered(Ok(()))) => {
                if self.nodes[n].former == Some(self.nodes[n].id()) {
                    self.lost(n);
                }
                self.confirmed(n, sent);
            }
            // A namesake's lease still runs.
            Ok(_) | Err(_) => {}
        }
    }

    /// What the lease stood for is gone.
    pub(crate) fn lost(&mut self, n: usize) {
        let holdings = &self.nodes[n].holdings;
        for shard in holdings.held().into_keys() {
            holdings.drop(shard);
        }
    }

    pub(crate) fn surveyed(&mut self, n: usize, answer: &Told) {
        let node = &mut self.nodes[n];
        node.surveying = false;
        if let Ok(Answer::Survey(survey)) = answer.as_deref() {
            node.roster = Roster::new(Survey::clone(survey));
            self.place(n);
            self.watch_hosts(n);
        }
        if std::mem::take(&mut self.nodes[n].again) {
            self.survey(n);
        }
    }
}
