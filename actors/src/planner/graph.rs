//! What may run when: the steps of a plan as a graph without cycles.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use protocol::plan::StepSpec;

/// Steps by their position in the plan, with what each needs and who needs it.
///
/// Needs of unknown steps and repeated ids are the review's business: here the first step of an id
/// counts and an unknown need is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    needs: Edges,
    dependants: Edges,
    order: Vec<usize>,
}

impl Graph {
    /// Reads the graph off the steps.
    ///
    /// # Errors
    ///
    /// When steps wait for each other in a circle.
    pub fn new(steps: &[StepSpec]) -> Result<Self, Cycle> {
        let mut index = HashMap::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            index.entry(step.id.as_str()).or_insert(at);
        }
        let needs = Edges::new(steps.iter().map(|step| {
            let mut needs: Vec<usize> = step
                .needs
                .iter()
                .filter_map(|id| index.get(id.as_str()).copied())
                .collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        }));
        let dependants = needs.reversed();
        let order = order(&needs, &dependants)?;
        Ok(Self {
            needs,
            dependants,
            order,
        })
    }

    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Every step after all that it needs; steps that already stood so keep their order.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// What a step needs, in rising order.
    #[must_use]
    pub fn needs(&self, step: usize) -> &[usize] {
        self.needs.of(step)
    }

    /// Who needs a step, in rising order.
    #[must_use]
    pub fn dependants(&self, step: usize) -> &[usize] {
        self.dependants.of(step)
    }

    /// Everything that needs a step, directly or through others, in an order in which it could run:
    /// what is skipped when that step fails.
    #[must_use]
    pub fn all_dependants(&self, step: usize) -> Vec<usize> {
        let mut reached = vec![false; self.len()];
        let mut open = vec![step];
        while let Some(at) = open.pop() {
            for &next in self.dependants(at) {
                if !std::mem::replace(&mut reached[next], true) {
                    open.push(next);
                }
            }
        }
        let mut all = self.order.clone();
        all.retain(|&at| reached[at]);
        all
    }

    /// Whether everything that a step needs is completed.
    pub fn is_free(&self, step: usize, completed: impl Fn(usize) -> bool) -> bool {
        self.needs(step).iter().all(|&need| completed(need))
    }

    /// Steps that are not completed and wait for no other, in plan order.
    pub fn ready(&self, completed: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.len())
            .filter(|&at| !completed(at) && self.is_free(at, &completed))
            .collect()
    }

    /// Dependants of a step that its completion sets free. Cheaper than [`Self::ready`]: over a
    /// whole run each edge is looked at as often as its target has needs.
    pub fn freed_by(&self, step: usize, completed: impl Fn(usize) -> bool) -> Vec<usize> {
        let freed = self.dependants(step).iter().copied();
        freed.filter(|&at| self.is_free(at, &completed)).collect()
    }

    /// The longest chain of needs below each step; 0 for one that needs nothing.
    #[must_use]
    pub fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.len()];
        for &at in &self.order {
            let below = self.needs(at).iter().map(|&need| depths[need] + 1);
            depths[at] = below.max().unwrap_or(0);
        }
        depths
    }

    /// Steps that may run at the same time, group after group.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let depths = self.depths();
        let deepest = depths.iter().max().map_or(0, |depth| depth + 1);
        let mut groups = vec![Vec::new(); deepest];
        for (at, depth) in depths.into_iter().enumerate() {
            groups[depth].push(at);
        }
        groups
    }

    /// Steps that nobody needs: their outputs are the task's result.
    #[must_use]
    pub fn terminals(&self) -> Vec<usize> {
        let all = 0..self.len();
        all.filter(|&at| self.dependants(at).is_empty()).collect()
    }

    /// How long a run takes at best, when steps take what `cost` says and never wait for an agent.
    pub fn makespan(&self, cost: impl Fn(usize) -> u64) -> u64 {
        let mut ends = vec![0_u64; self.len()];
        for &at in &self.order {
            let start = self.needs(at).iter().map(|&need| ends[need]).max();
            ends[at] = start.unwrap_or(0).saturating_add(cost(at));
        }
        ends.into_iter().max().unwrap_or(0)
    }
}

/// Steps that wait for each other in a circle: each needs the next, the last needs the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(Vec<usize>);

impl Cycle {
    /// Positions of the steps on it, beginning with the first of the plan.
    #[must_use]
    pub fn steps(&self) -> &[usize] {
        &self.0
    }

    /// Ids of the steps on it.
    #[must_use]
    pub fn ids<'a>(&self, steps: &'a [StepSpec]) -> Vec<&'a str> {
        self.0.iter().map(|&at| steps[at].id.as_str()).collect()
    }
}

/// Lists of neighbours in one piece of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edges {
    /// Where the neighbours of each step begin; one more than there are steps.
    starts: Vec<usize>,
    targets: Vec<usize>,
}

impl Edges {
    fn new(lists: impl Iterator<Item = Vec<usize>>) -> Self {
        let mut edges = Self {
            starts: vec![0],
            targets: Vec::new(),
        };
        for list in lists {
            edges.targets.extend(list);
            edges.starts.push(edges.targets.len());
        }
        edges
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, step: usize) -> &[usize] {
        &self.targets[self.starts[step]..self.starts[step + 1]]
    }

    fn reversed(&self) -> Self {
        let mut lists = vec![Vec::new(); self.len()];
        for from in 0..self.len() {
            for &to in self.of(from) {
                lists[to].push(from);
            }
        }
        Self::new(lists.into_iter())
    }
}

/// Kahn's algorithm; the heap picks the earliest of the free steps, so a good order is kept.
fn order(needs: &Edges, dependants: &Edges) -> Result<Vec<usize>, Cycle> {
    let mut missing: Vec<usize> = (0..needs.len()).map(|at| needs.of(at).len()).collect();
    let free = (0..needs.len()).filter(|&at| missing[at] == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(at)) = free.pop() {
        order.push(at);
        for &next in dependants.of(at) {
            missing[next] -= 1;
            if missing[next] == 0 {
                free.push(Reverse(next));
            }
        }
    }
    match (0..needs.len()).find(|&at| missing[at] > 0) {
        None => Ok(order),
        Some(stuck) => Err(cycle(needs, &missing, stuck)),
    }
}

/// Walks from a step that never became free along needs that never did, until a step comes again.
fn cycle(needs: &Edges, missing: &[usize], stuck: usize) -> Cycle {
    let mut met_at = HashMap::new();
    let mut path = Vec::new();
    let mut at = stuck;
    while !met_at.contains_key(&at) {
        met_at.insert(at, path.len());
        path.push(at);
        match needs.of(at).iter().find(|&&need| missing[need] > 0) {
            Some(&next) => at = next,
            // A stuck step has a stuck need; without one, its path is the best answer there is.
            None => break,
        }
    }
    let mut circle = path.split_off(met_at.get(&at).copied().unwrap_or(0));
    let first = circle.iter().enumerate().min_by_key(|(_, at)| **at);
    let first = first.map_or(0, |(position, _)| position);
    circle.rotate_left(first);
    Cycle(circle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(text: &str) -> Vec<StepSpec> {
        // `a b:a c:a,b` reads: a needs nothing, b needs a, c needs both.
        let step = |word: &str| {
            let (id, needs) = word.split_once(':').unwrap_or((word, ""));
            let needs: Vec<&str> = needs.split(',').filter(|need| !need.is_empty()).collect();
            serde_json::from_value(serde_json::json!({ "id": id, "needs": needs })).unwrap()
        };
        text.split_whitespace().map(step).collect()
    }

    fn ids(steps: &[StepSpec], at: &[usize]) -> String {
        let ids: Vec<&str> = at.iter().map(|&at| steps[at].id.as_str()).collect();
        ids.join(" ")
    }

    #[test]
    fn every_step_comes_after_all_that_it_needs_and_else_keeps_its_place() {
        for (given, expected) in [
            ("", ""),
            ("a", "a"),
            ("a b c", "a b c"),
            ("c b a", "c b a"),
            ("a b:a c", "a b c"),
            ("c:a b a", "b a c"),
            ("d:b,c b:a c:a a", "a b c d"),
            ("a b:a,a,a", "a b"),
            ("a b:ghost", "a b"),
        ] {
            let steps = steps(given);
            let graph = Graph::new(&steps).unwrap();
            assert_eq!(ids(&steps, graph.order()), expected, "{given}");
            assert_eq!(graph.is_empty(), given.is_empty());
        }
    }

    #[test]
    fn a_cycle_is_named_by_the_steps_on_it_and_no_others() {
        for (given, expected) in [
            ("a:a", "a"),
            ("a:b b:a", "a b"),
            ("x b:a a:b y:a", "b a"),
            ("a:b b:c c:d d:b", "b c d"),
            ("z:a a b:c,a c:b", "b c"),
        ] {
            let steps = steps(given);
            let cycle = Graph::new(&steps).unwrap_err();
            assert_eq!(cycle.ids(&steps).join(" "), expected, "{given}");
        }
    }

    #[test]
    fn a_diamond_runs_its_sides_together() {
        let steps = steps("a b:a c:a d:b,c e");
        let graph = Graph::new(&steps).unwrap();
        assert_eq!(graph.groups(), [vec![0, 4], vec![1, 2], vec![3]]);
        assert_eq!(graph.depths(), [0, 1, 1, 2, 0]);
        assert_eq!(graph.terminals(), [3, 4]);
        assert_eq!(graph.needs(3), [1, 2]);
        assert_eq!(graph.dependants(0), [1, 2]);
        assert_eq!(graph.all_dependants(0), [1, 2, 3]);
        assert_eq!(graph.all_dependants(3), [0; 0]);
        assert_eq!(graph.makespan(|_| 10), 30);
    }

    #[test]
    fn a_step_is_free_when_the_last_of_its_needs_completes() {
        let steps = steps("a b:a c:a d:b,c");
        let graph = Graph::new(&steps).unwrap();
        assert_eq!(graph.ready(|_| false), [0]);
        assert_eq!(graph.ready(|at| at == 0), [1, 2]);
        assert_eq!(graph.freed_by(0, |at| at == 0), [1, 2]);
        assert_eq!(graph.freed_by(1, |at| at < 2), [0; 0]);
        assert_eq!(graph.freed_by(2, |at| at < 3), [3]);
        assert_eq!(graph.ready(|_| true), [0; 0]);
    }

    #[test]
    fn a_chain_of_a_thousand_steps_with_ten_thousand_needs_is_ordered() {
        // Each step needs the ten before it, and the plan is written backwards.
        let text: Vec<String> = (0..1010_usize)
            .rev()
            .map(|at| {
                let needs = (at.saturating_sub(10)..at).map(|need| format!("s{need}"));
                format!("s{at}:{}", needs.collect::<Vec<_>>().join(","))
            })
            .collect();
        let graph = Graph::new(&steps(&text.join(" "))).unwrap();
        assert_eq!(graph.groups().len(), 1010);
        assert!(graph.order().iter().copied().eq((0..1010).rev()));
    }

    /// Random graphs: the needs of each step among all steps, so cycles are common.
    fn anything() -> impl Strategy<Value = Vec<StepSpec>> {
        proptest::collection::vec(proptest::collection::vec(0..12_usize, 0..3), 0..12).prop_map(
            |lists| {
                let words = lists.iter().enumerate().map(|(at, needs)| {
                    let needs: Vec<String> = needs.iter().map(|need| format!("s{need}")).collect();
                    format!("s{at}:{}", needs.join(","))
                });
                steps(&words.collect::<Vec<_>>().join(" "))
            },
        )
    }

    proptest! {
        #[test]
        fn any_graph_is_either_ordered_or_has_a_true_cycle(steps in anything()) {
            match Graph::new(&steps) {
                Ok(graph) => {
                    let mut place = vec![usize::MAX; steps.len()];
                    for (position, &at) in graph.order().iter().enumerate() {
                        prop_assert_eq!(place[at], usize::MAX);
                        place[at] = position;
                    }
                    for at in 0..steps.len() {
                        for &need in graph.needs(at) {
                            prop_assert!(place[need] < place[at]);
                            prop_assert!(graph.all_dependants(need).contains(&at));
                        }
                    }
                    prop_assert_eq!(graph.groups().concat().len(), steps.len());
                }
                Err(cycle) => {
                    let ids = cycle.ids(&steps);
                    for (at, &step) in cycle.steps().iter().enumerate() {
                        let next = ids[(at + 1) % ids.len()];
                        prop_assert!(steps[step].needs.iter().any(|need| need == next));
                    }
                }
            }
        }

        #[test]
        fn running_whatever_is_freed_runs_every_step_once(steps in anything()) {
            if let Ok(graph) = Graph::new(&steps) {
                let mut done = vec![false; graph.len()];
                let mut open = graph.ready(|_| false);
                let mut ran = 0;
                while let Some(at) = open.pop() {
                    prop_assert!(!done[at]);
                    done[at] = true;
                    ran += 1;
                    open.extend(graph.freed_by(at, |at| done[at]));
                }
                prop_assert_eq!(ran, graph.len());
            }
        }
    }
}
