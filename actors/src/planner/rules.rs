//! A plan from a description alone: its clauses matched to what agents offer, without guessing.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    ops::Range,
};

use protocol::{
    plan::{Effect, Plan, PlanSource, StepSpec},
    task::TaskSpec,
};
use serde_json::{Value, json};

use super::{
    Refusal, Roster,
    clauses::{clauses, pieces},
    review::{review, review_task},
    words::stems,
};
use crate::config;

/// Capabilities of an agent that takes what no other capability fits.
const GENERAL: [&str; 2] = ["general", "*"];

/// A piece of work that one agent can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Parts of one stage are independent; a stage begins when the one before is completed.
    pub stage: usize,
    /// What it takes.
    pub capability: String,
    /// The words of the description that ask for it; empty when the task names the capability.
    pub instruction: String,
}

/// The whole way from a task to a reviewed plan.
///
/// # Errors
///
/// All mistakes in the task and its steps, or that no agent offers what the description asks for.
pub fn create_execution_plan(
    spec: &TaskSpec,
    roster: &Roster,
    limits: &config::Tasks,
) -> Result<Plan, Refusal> {
    if !spec.steps.is_empty() {
        return review(spec, &spec.steps, PlanSource::Explicit, roster, limits);
    }
    review_task(spec, roster, limits)?;
    let parts = decompose_task(spec, roster)?;
    match_agents_to_steps(&parts, roster)?;
    let steps = optimize_execution_order(&parts);
    review(spec, &steps, PlanSource::Rules, roster, limits)
}

/// Cuts a task into parts: one for each capability that it names, in that order; else one for each
/// clause of its description that asks for something agents offer.
///
/// Clauses are separated by `then`, `after that`, sentence ends, `;` and line breaks, and follow
/// one another; pieces of a clause separated by `and` or `,` are independent. What asks for nothing
/// by itself is kept with what it stands beside.
///
/// # Errors
///
/// When nothing matches; the message says what agents offer.
pub fn decompose_task(spec: &TaskSpec, roster: &Roster) -> Result<Vec<Part>, Refusal> {
    let named = &spec.requirements.capabilities;
    if !named.is_empty() {
        let part = |(stage, capability): (usize, &String)| Part {
            stage,
            capability: capability.clone(),
            instruction: String::new(),
        };
        return Ok(named.iter().enumerate().map(part).collect());
    }
    let text = spec.description.as_str();
    let offers = Offers::new(roster);
    let mut found: Vec<(usize, &str, Range<usize>)> = Vec::new();
    let mut stage = 0;
    for clause in clauses(text) {
        let begun = found.len();
        for piece in pieces(text, clause) {
            match (offers.best(&text[piece.clone()]), found.last_mut()) {
                // What stands before the first match belongs to it.
                (Some(capability), None) => found.push((stage, capability, 0..piece.end)),
                (Some(capability), Some(_)) => found.push((stage, capability, piece)),
                (None, Some((_, _, words))) => words.end = piece.end,
                (None, None) => {}
            }
        }
        stage += usize::from(found.len() > begun);
    }
    if found.is_empty() {
        found.push((0, general(roster)?, 0..text.len()));
    }
    let part = |(stage, capability, words): (usize, &str, Range<usize>)| Part {
        stage,
        capability: capability.to_owned(),
        instruction: trimmed(&text[words]).to_owned(),
    };
    Ok(found.into_iter().map(part).collect())
}

fn trimmed(words: &str) -> &str {
    words.trim_matches(|c: char| c.is_whitespace() || c == ',' || c == ';')
}

/// Who takes what no other capability fits: nobody, unless an agent says that it does.
fn general(roster: &Roster) -> Result<&'static str, Refusal> {
    let general = GENERAL.into_iter().find(|name| roster.offers(name));
    general.ok_or_else(|| {
        let message = format!(
            "asks for nothing that agents offer ({}); name one in `requirements.capabilities` or \
             give `steps`",
            roster.summary()
        );
        Refusal::field("description", message)
    })
}

/// Who could do each part, by name. Which of them does is decided when its turn comes.
///
/// # Errors
///
/// When nobody could.
pub fn match_agents_to_steps<'a>(
    parts: &'a [Part],
    roster: &'a Roster,
) -> Result<Vec<Vec<&'a str>>, Refusal> {
    let able = |(at, part): (usize, &'a Part)| {
        let able = roster.able(&part.capability);
        let names: Vec<&str> = able.map(|member| member.name.as_str()).collect();
        if names.is_empty() {
            let (capability, offered) = (&part.capability, roster.summary());
            return Err(Refusal::field(
                format!("requirements.capabilities[{at}]"),
                format!("no agent offers `{capability}` ({offered})"),
            ));
        }
        Ok(names)
    };
    parts.iter().enumerate().map(able).collect()
}

/// Turns parts into steps that need only what they must: parts of one stage run side by side.
#[must_use]
pub fn optimize_execution_order(parts: &[Part]) -> Vec<StepSpec> {
    let mut steps: Vec<StepSpec> = Vec::with_capacity(parts.len());
    let mut ids = HashSet::new();
    let mut before: Vec<String> = Vec::new();
    for stage in parts.chunk_by(|a, b| a.stage == b.stage) {
        let begun = steps.len();
        for part in stage {
            let id = unused_id(&part.capability, &ids);
            ids.insert(id.clone());
            steps.push(StepSpec {
                id,
                agent: None,
                capability: Some(part.capability.clone()),
                description: None,
                input: input(part),
                needs: before.clone(),
                effect: Effect::default(),
                retry: None,
                timeout: None,
            });
        }
        before = steps[begun..].iter().map(|step| step.id.clone()).collect();
    }
    steps
}

fn input(part: &Part) -> Value {
    if part.instruction.is_empty() {
        Value::Null
    } else {
        json!({ "instruction": part.instruction })
    }
}

/// A step id that looks like the capability and is not taken.
fn unused_id(capability: &str, taken: &HashSet<String>) -> String {
    const LONGEST: usize = 56;
    let letter = |c: char| {
        let kept = c.is_ascii_alphanumeric() || c == '_';
        if kept { c } else { '-' }
    };
    let name: String = capability.chars().take(LONGEST).map(letter).collect();
    let name = match name.trim_matches('-') {
        "" => "step",
        name => name,
    };
    let mut id = name.to_owned();
    let mut number = 1;
    while taken.contains(&id) {
        number += 1;
        id = format!("{name}-{number}");
    }
    id
}

/// Capabilities by the one of their words that the fewest share, so that a text is held against
/// few of them.
struct Offers<'a>(HashMap<String, Vec<Offer<'a>>>);

struct Offer<'a> {
    capability: &'a str,
    stems: Vec<String>,
}

impl<'a> Offers<'a> {
    fn new(roster: &'a Roster) -> Self {
        let offer = |capability: &'a str| Offer {
            capability,
            stems: stems(capability),
        };
        let all: Vec<Offer<'a>> = roster.capabilities().map(offer).collect();
        let mut shared: HashMap<String, usize> = HashMap::new();
        for stem in all.iter().flat_map(|offer| &offer.stems) {
            *shared.entry(stem.clone()).or_default() += 1;
        }
        let mut offers: HashMap<String, Vec<Offer<'a>>> = HashMap::new();
        for offer in all {
            let rarest = offer.stems.iter().min_by_key(|stem| shared.get(*stem));
            if let Some(rarest) = rarest.cloned() {
                offers.entry(rarest).or_default().push(offer);
            }
        }
        Self(offers)
    }

    /// The capability that a piece of text asks for, which has all words of its name: the one of
    /// most words, then the one asked for first.
    fn best(&self, piece: &str) -> Option<&'a str> {
        let words = stems(piece);
        let place = |stem: &String| words.iter().position(|word| word == stem);
        let offers = words.iter().filter_map(|word| self.0.get(word)).flatten();
        let found = offers.filter_map(|offer| {
            let places: Option<Vec<usize>> = offer.stems.iter().map(place).collect();
            let first = places?.into_iter().min()?;
            Some((Reverse(offer.stems.len()), first, offer.capability))
        });
        found.min().map(|(_, _, capability)| capability)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::id::AgentId;

    use super::{
        super::{Graph, Member},
        *,
    };

    fn roster(capabilities: &[&str]) -> Roster {
        let member = |(number, capability): (usize, &&str)| Member {
            id: AgentId::from_uuid(uuid::Uuid::from_u128(number as u128)),
            name: format!("agent-{number}"),
            capabilities: vec![(*capability).to_owned()],
        };
        capabilities.iter().enumerate().map(member).collect()
    }

    fn task(description: &str) -> TaskSpec {
        TaskSpec {
            description: description.to_owned(),
            ..TaskSpec::default()
        }
    }

    /// Parts as `stage:capability`, in one line.
    fn parts(description: &str, capabilities: &[&str]) -> String {
        let parts = decompose_task(&task(description), &roster(capabilities)).unwrap();
        let parts = parts
            .iter()
            .map(|part| format!("{}:{}", part.stage, part.capability));
        parts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn clauses_follow_one_another_and_pieces_of_a_clause_stand_side_by_side() {
        let offers = [
            "research",
            "write",
            "review",
            "web_search",
            "search",
            "code-review",
        ];
        for (description, expected) in [
            ("research X then write Y", "0:research 1:write"),
            ("Research X, then write Y.", "0:research 1:write"),
            ("research X and then write Y", "0:research 1:write"),
            (
                "research X; write Y;review it",
                "0:research 1:write 2:review",
            ),
            ("Research X. Write Y", "0:research 1:write"),
            ("research X\nwrite Y", "0:research 1:write"),
            ("research X. After that, write Y", "0:research 1:write"),
            ("research X and write Y", "0:research 0:write"),
            (
                "research, write and review, then research",
                "0:research 0:write 0:review 1:research",
            ),
            ("Researching cats and dogs", "0:research"),
            (
                "please be brief. research X. be kind. then write",
                "0:research 1:write",
            ),
            ("the writer WRITES", "0:write"),
            ("search the web for X", "0:web_search"),
            ("search for X", "0:search"),
            ("review the code", "0:code-review"),
            ("review the text", "0:review"),
            ("write about the research of example.com v1.2", "0:write"),
            ("thence research", "0:research"),
        ] {
            assert_eq!(parts(description, &offers), expected, "{description}");
        }
    }

    #[test]
    fn every_word_of_the_description_is_somebodys_instruction() {
        let roster = roster(&["research", "write"]);
        for (description, expected) in [
            (
                "Be brief. Research cats and dogs, then write it up. Use ASCII.",
                [
                    "Be brief. Research cats and dogs",
                    "write it up. Use ASCII.",
                ]
                .as_slice(),
            ),
            (
                "research cats, write about dogs",
                &["research cats", "write about dogs"],
            ),
            (
                "  Forscht über Käse: research ä\n",
                &["Forscht über Käse: research ä"],
            ),
        ] {
            let parts = decompose_task(&task(description), &roster).unwrap();
            let said: Vec<&str> = parts.iter().map(|part| part.instruction.as_str()).collect();
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn named_capabilities_become_one_step_each_in_their_order() {
        let mut spec = task("do it");
        spec.requirements.capabilities = vec!["write".to_owned(), "a b".to_owned()];
        let roster = roster(&["write", "a b"]);
        let plan = create_execution_plan(&spec, &roster, &config::Tasks::default()).unwrap();
        assert_eq!(plan.source, PlanSource::Rules);
        let steps = plan
            .steps
            .iter()
            .map(|step| (step.id.as_str(), step.needs.join(",")));
        let steps: Vec<_> = steps.into_iter().collect();
        assert_eq!(
            steps,
            [("write", String::new()), ("a-b", "write".to_owned())]
        );
        assert_eq!(plan.steps[1].capability.as_deref(), Some("a b"));
        assert_eq!(plan.steps[1].input, Value::Null);

        spec.requirements.capabilities.push("dance".to_owned());
        let refusal = create_execution_plan(&spec, &roster, &config::Tasks::default()).unwrap_err();
        assert_eq!(refusal.errors[0].field, "requirements.capabilities[2]");
    }

    #[test]
    fn without_a_match_nothing_is_guessed_unless_an_agent_takes_anything() {
        let refusal = decompose_task(&task("make tea"), &roster(&["write"])).unwrap_err();
        assert_eq!(refusal.errors[0].field, "description");
        assert!(
            refusal.to_string().contains("agents offer `write`"),
            "{refusal}"
        );
        assert!(decompose_task(&task("make tea"), &roster(&[])).is_err());
        assert_eq!(parts("make tea", &["write", "general"]), "0:general");
        assert_eq!(parts("make tea", &["*"]), "0:*");
        assert_eq!(parts("write tea", &["*", "write"]), "0:write");
    }

    #[test]
    fn each_part_is_matched_to_all_who_could_do_it() {
        let roster = roster(&["write", "write", "review"]);
        let parts = decompose_task(&task("write, then review"), &roster).unwrap();
        let able = match_agents_to_steps(&parts, &roster).unwrap();
        assert_eq!(able, [vec!["agent-0", "agent-1"], vec!["agent-2"]]);
        let nobody = Roster::default();
        assert!(match_agents_to_steps(&parts, &nobody).is_err());
    }

    #[test]
    fn independent_parts_end_sooner_together_than_one_after_another() {
        let description = "fetch, count and lint; then report. Then fetch";
        let roster = roster(&["fetch", "count", "lint", "report"]);
        let plan = create_execution_plan(&task(description), &roster, &config::Tasks::default());
        let steps = plan.unwrap().steps;
        let graph = Graph::new(&steps).unwrap();
        assert_eq!(graph.groups(), [vec![0, 1, 2], vec![3], vec![4]]);
        let sequential = steps.len() as u64 * 10;
        assert!(graph.makespan(|_| 10) < sequential);
        assert_eq!(steps[3].needs, ["fetch", "count", "lint"]);
        assert_eq!(steps[4].needs, ["report"]);
        assert_eq!(steps[0].input, json!({ "instruction": "fetch" }));
    }

    #[test]
    fn steps_of_one_capability_get_ids_of_their_own() {
        let roster = roster(&["write", "write-2", "***"]);
        let mut spec = task("do");
        spec.requirements.capabilities = ["write", "write-2", "write", "***", &"é".repeat(90)]
            .map(str::to_owned)
            .to_vec();
        let steps = optimize_execution_order(&decompose_task(&spec, &roster).unwrap());
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["write", "write-2", "write-3", "step", "step-2"]);
    }

    #[test]
    fn explicit_steps_are_reviewed_as_they_are() {
        let mut spec = task("write");
        spec.steps = serde_json::from_value(json!([{ "id": "a", "capability": "write" }])).unwrap();
        let plan = create_execution_plan(&spec, &roster(&["write"]), &config::Tasks::default());
        let plan = plan.unwrap();
        assert_eq!(
            (plan.source, plan.steps),
            (PlanSource::Explicit, spec.steps)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_planned_or_refused_and_a_plan_passes_its_review(
            description in "([a-zé,.;\n&-]{0,4}|then|and|after that|write|research| ){0,40}",
        ) {
            let roster = roster(&["write", "research", "web_write"]);
            let spec = task(&description);
            match create_execution_plan(&spec, &roster, &config::Tasks::default()) {
                Ok(plan) => prop_assert!(!plan.steps.is_empty()),
                Err(refusal) => {
                    prop_assert_eq!(refusal.errors[0].field.as_str(), "description");
                }
            }
        }
    }
}
