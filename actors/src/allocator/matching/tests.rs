//! Who is left, who is best, and the arithmetic of it.

use proptest::prelude::*;
use uuid::Uuid;

use super::{super::Pin, *};

mod nodes;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
const NODE: NodeId = NodeId::from_uuid(Uuid::from_u128(1));

fn id(number: usize) -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(number as u128))
}

fn agent(number: usize) -> AgentSnapshot {
    AgentSnapshot {
        id: id(number),
        name: format!("agent-{number:04}"),
        tenant: "default".to_owned(),
        capabilities: vec!["write".to_owned()],
        tools: vec!["pen".to_owned()],
        mode: Mode::Started,
        checked: Some((Health::Healthy, NOW)),
        circuit: Circuit::Passable,
        slots: 5,
        running: 0,
        assigned: 0,
        success_rate: 1.0,
        node: NODE,
        resources: Resources::default(),
        hold: None,
    }
}

fn agents(count: usize) -> Vec<AgentSnapshot> {
    (0..count).map(agent).collect()
}

fn writing() -> Requirement {
    Requirement {
        tenant: "default".to_owned(),
        capability: Some("write".to_owned()),
        ..Requirement::default()
    }
}

fn terms() -> Terms<'static> {
    Terms {
        held: None,
        now: NOW,
        fresh_for: Duration::from_secs(120),
        weights: Weights::default(),
        memory_limit: 0.95,
        cpu_limit: 0.98,
        disk_limit: 0.95,
        here: NODE,
        near: &[],
        nodes: &[NodeLoad {
            node: NODE,
            cpu_used: 0.5,
            disk_used: 0.5,
            memory_used: 0.5,
            capacity: Resources {
                cpu: 4.0,
                memory: 1000,
            },
            taken: Resources {
                cpu: 3.0,
                memory: 600,
            },
        }],
    }
}

fn rank(requirement: &Requirement, last: Option<AgentId>, agents: &[AgentSnapshot]) -> Ranking {
    let request = Request {
        requirement,
        wanted: &[],
        last_agent: last,
    };
    evaluate(&request, agents, &terms())
}

fn changed(change: impl FnOnce(&mut AgentSnapshot)) -> AgentSnapshot {
    let mut agent = agent(0);
    change(&mut agent);
    agent
}

#[test]
fn each_filter_excludes_for_its_own_reason() {
    let all = Requirement {
        tools: vec!["pen".to_owned()],
        resources: Resources {
            cpu: 1.0,
            memory: 400,
        },
        ..writing()
    };
    assert_eq!(eligible(&all, &agent(0), &terms()), None);
    let stale = Timestamp::from_micros(NOW.as_micros() - 120_000_001);
    let fresh = Timestamp::from_micros(NOW.as_micros() - 120_000_000);
    for (changed, expected) in [
        (
            changed(|a| a.tenant = "other".into()),
            Some(Exclusion::Permission),
        ),
        (
            changed(|a| a.capabilities.clear()),
            Some(Exclusion::Capability),
        ),
        (changed(|a| a.tools.clear()), Some(Exclusion::Tool)),
        (
            changed(|a| a.mode = Mode::Stopped),
            Some(Exclusion::Stopped),
        ),
        (changed(|a| a.mode = Mode::Paused), Some(Exclusion::Paused)),
        (changed(|a| a.checked = None), Some(Exclusion::Unhealthy)),
        (
            changed(|a| a.checked = Some((Health::Unhealthy, NOW))),
            Some(Exclusion::Unhealthy),
        ),
        (
            changed(|a| a.checked = Some((Health::Healthy, stale))),
            Some(Exclusion::Unhealthy),
        ),
        (
            changed(|a| a.checked = Some((Health::Healthy, fresh))),
            None,
        ),
        (
            changed(|a| a.circuit = Circuit::Open),
            Some(Exclusion::CircuitOpen),
        ),
        (
            changed(|a| a.resources.cpu = 1.5),
            Some(Exclusion::Resources),
        ),
        (
            changed(|a| a.resources.memory = 401),
            Some(Exclusion::Resources),
        ),
        (
            changed(|a| a.node = NodeId::from_uuid(Uuid::from_u128(9))),
            Some(Exclusion::Resources),
        ),
        (changed(|a| a.running = 4), None),
        (changed(|a| a.running = 5), Some(Exclusion::Full)),
        (changed(|a| a.slots = 0), Some(Exclusion::Unhosted)),
    ] {
        assert_eq!(eligible(&all, &changed, &terms()), expected, "{changed:?}");
    }
}

#[test]
fn a_pinned_step_goes_to_the_agent_of_that_name_or_id_only() {
    for pin in ["agent-0001".to_owned(), id(1).to_string()] {
        let pinned = Requirement {
            agent: Some(Pin::new(&pin)),
            capability: None,
            ..writing()
        };
        let ranking = rank(&pinned, None, &agents(3));
        assert_eq!(ranking.order, [1]);
        assert_eq!(ranking.card.candidates[0].scores.unwrap().fit, 1.0);
        assert_eq!(
            ranking.card.candidates[1].excluded,
            Some(Exclusion::NotNamed)
        );
    }
}

type Repair = fn(&mut AgentSnapshot);

#[test]
fn the_first_filter_that_is_not_passed_is_the_reason() {
    // What fails at filter n fails at all later ones as well.
    let mut agent = changed(|a| {
        a.tenant = "other".into();
        a.name = "somebody".into();
        a.id = id(7);
        a.capabilities.clear();
        a.tools.clear();
        a.mode = Mode::Stopped;
        a.checked = None;
        a.circuit = Circuit::Open;
        a.resources.cpu = 9.0;
        a.running = 5;
    });
    let all = Requirement {
        agent: Some(Pin::new("agent-0000")),
        tools: vec!["pen".to_owned()],
        ..writing()
    };
    let repairs: [(Exclusion, Repair); 10] = [
        (Exclusion::Permission, |a| a.tenant = "default".into()),
        (Exclusion::NotNamed, |a| a.name = "agent-0000".into()),
        (Exclusion::Capability, |a| {
            a.capabilities.push("write".into());
        }),
        (Exclusion::Tool, |a| a.tools.push("pen".into())),
        (Exclusion::Stopped, |a| a.mode = Mode::Paused),
        (Exclusion::Paused, |a| a.mode = Mode::Started),
        (Exclusion::Unhealthy, |a| {
            a.checked = Some((Health::Healthy, NOW));
        }),
        (Exclusion::CircuitOpen, |a| a.circuit = Circuit::Passable),
        (Exclusion::Resources, |a| a.resources.cpu = 0.0),
        (Exclusion::Full, |a| a.running = 0),
    ];
    for (reason, repair) in repairs {
        assert_eq!(eligible(&all, &agent, &terms()), Some(reason));
        repair(&mut agent);
    }
    assert_eq!(eligible(&all, &agent, &terms()), None);
}

#[test]
fn a_score_is_four_parts_weighted_40_30_20_10() {
    let busy = changed(|a| {
        a.capabilities = ["write", "read", "count", "draw"]
            .map(str::to_owned)
            .to_vec();
        a.running = 1;
        a.success_rate = 0.5;
    });
    let peer = AgentSnapshot {
        running: 4,
        slots: 10,
        ..agent(1)
    };
    let ranking = rank(&writing(), Some(peer.id), &[busy, peer]);
    let card = serde_json::to_value(&ranking.card).unwrap();
    let near = |pointer: &str, expected: f64| {
        let found = card.pointer(pointer).and_then(serde_json::Value::as_f64);
        assert!(
            (found.unwrap() - expected).abs() < 1e-12,
            "{pointer}: {found:?}"
        );
    };
    // Specialist with 6 of 10 slots free, as busy as anyone, context lost: it runs 3 more.
    assert_eq!(card["candidates"][0]["agent"], "agent-0001");
    near("/candidates/0/scores/match", 1.0);
    near("/candidates/0/scores/availability", 0.6);
    near("/candidates/0/scores/balance", 0.0);
    near("/candidates/0/scores/affinity", 0.0);
    near("/candidates/0/scores/total", 0.4 + 0.18);
    // One of four capabilities asked for; 4 of 5 slots free, half of its attempts fail.
    near("/candidates/1/scores/match", 0.5 + 0.5 / 4.0);
    near("/candidates/1/scores/availability", 0.8 * 0.5);
    near("/candidates/1/scores/balance", 0.5);
    near(
        "/candidates/1/scores/total",
        0.4 * 0.625 + 0.3 * 0.4 + 0.2 * 0.5,
    );
    near("/weights/match", 0.4);
    near("/weights/availability", 0.3);
    near("/weights/balance", 0.2);
    near("/weights/affinity", 0.1);
    assert_eq!(card["chosen"], "agent-0001");
    assert_eq!(ranking.order, [1, 0]);
}

#[test]
fn an_agent_that_can_do_more_of_what_the_task_is_about_fits_better() {
    let able = |number, capabilities: &[&str]| AgentSnapshot {
        capabilities: capabilities.iter().map(|c| (*c).to_owned()).collect(),
        ..agent(number)
    };
    let request = Request {
        requirement: &writing(),
        wanted: &["write".to_owned(), "draw".to_owned()],
        last_agent: None,
    };
    let agents = [
        able(0, &["write"]),
        able(1, &["write", "draw"]),
        able(2, &["write", "draw", "sing"]),
        able(3, &["write", "sing"]),
    ];
    let ranking = evaluate(&request, &agents, &terms());
    assert_eq!(ranking.order, [1, 2, 0, 3]);
    let fits: Vec<f64> = ranking
        .card
        .candidates
        .iter()
        .map(|c| c.scores.unwrap().fit)
        .collect();
    assert_eq!(fits, [1.0, 0.5 + 1.0 / 3.0, 0.75, 0.5 + 0.5 / 3.0]);
}

#[test]
fn the_agent_that_holds_the_context_is_kept_until_it_is_two_steps_busier() {
    for (holder, others, kept) in [
        (0, 0, true),
        (1, 0, true),
        (2, 0, false),
        (3, 2, true),
        (4, 2, false),
    ] {
        let mut agents = agents(3);
        for agent in &mut agents {
            agent.running = others;
        }
        agents[2].running = holder;
        // It served often before, so that a tie would go to the others.
        agents[2].assigned = 100;
        let ranking = rank(&writing(), Some(id(2)), &agents);
        assert_eq!(ranking.order[0] == 2, kept, "{holder} against {others}");
        let candidates = ranking.card.candidates.iter();
        let mut affine = candidates.filter(|c| c.scores.is_some_and(|s| s.affinity > 0.0));
        assert_eq!(affine.next().is_some(), kept, "{holder} against {others}");
    }
}

#[test]
fn a_card_lists_twenty_and_counts_the_rest() {
    for (fitting, excluded, listed, omitted) in [
        (0, 0, 0, 0),
        (1, 3, 4, 0),
        (20, 5, 20, 5),
        (25, 5, 20, 10),
        (5, 40, 20, 25),
    ] {
        let mut agents = agents(fitting + excluded);
        for agent in &mut agents[..excluded] {
            agent.mode = Mode::Paused;
        }
        let ranking = rank(&writing(), None, &agents);
        let card = &ranking.card;
        assert_eq!((card.candidates.len(), card.omitted), (listed, omitted));
        let best = fitting.min(20);
        assert_eq!(ranking.order.len(), best);
        assert!(card.candidates[..best].iter().all(|c| c.scores.is_some()));
        assert!(card.candidates[best..].iter().all(|c| c.excluded.is_some()));
        assert_eq!(card.chosen.is_some(), fitting > 0);
    }
}

#[test]
fn of_those_that_do_not_pass_a_card_lists_the_nearest_first() {
    let mut agents = agents(60);
    for agent in &mut agents {
        agent.capabilities.clear();
    }
    agents[59].capabilities = vec!["write".to_owned()];
    agents[59].mode = Mode::Paused;
    agents[40].capabilities = vec!["write".to_owned()];
    agents[40].running = agents[40].slots;
    let card = rank(&writing(), None, &agents).card;
    let listed: Vec<_> = card.candidates.iter().map(|it| it.excluded).collect();
    assert_eq!(
        listed[..3],
        [
            Some(Exclusion::Full),
            Some(Exclusion::Paused),
            Some(Exclusion::Capability)
        ]
    );
    assert_eq!((listed.len(), card.omitted), (20, 40));
}

#[test]
fn the_twenty_that_are_listed_are_the_best() {
    let mut agents = agents(100);
    for (number, agent) in agents.iter_mut().enumerate() {
        // 37 has no divisor in common with 100, so the best are scattered.
        agent.success_rate = ((number * 37) % 100) as f64 / 100.0;
    }
    let order = rank(&writing(), None, &agents).order;
    let rates: Vec<usize> = order.iter().map(|at| (at * 37) % 100).collect();
    assert!(rates.iter().copied().eq((80..100).rev()), "{rates:?}");
}

/// Gives 100 equal tasks to 4 equal agents, `in_flight` at once; how many each was given.
/// Durations differ by up to a fifth, so the order in which tasks end is random.
fn spread(in_flight: usize, random: &mut fastrand::Rng) -> Vec<u64> {
    let mut agents = agents(4);
    let mut running: Vec<(u64, usize)> = Vec::new();
    let mut now = 0;
    for _ in 0..100 {
        if running.len() == in_flight {
            let next = (0..in_flight).min_by_key(|&at| running[at].0).unwrap();
            let (end, agent) = running.swap_remove(next);
            now = end;
            agents[agent].running -= 1;
        }
        let best = rank(&writing(), None, &agents).order[0];
        agents[best].running += 1;
        agents[best].assigned += 1;
        running.push((now + random.u64(800..1200), best));
    }
    agents.iter().map(|agent| agent.assigned).collect()
}

#[test]
fn a_hundred_equal_tasks_on_four_equal_agents_end_up_twenty_five_each() {
    let mut random = fastrand::Rng::with_seed(10);
    for in_flight in 1..=20 {
        for _ in 0..10 {
            let given = spread(in_flight, &mut random);
            let even = given.iter().all(|count| (22..=28).contains(count));
            assert!(even, "{in_flight} in flight: {given:?}");
        }
    }
}

fn any_agent() -> impl Strategy<Value = AgentSnapshot> {
    let state = (0..4_usize, 0..8_u32, 0..8_u32, 0..4_u64, -0.5..1.5_f64);
    state.prop_map(
        |(number, slots, running, assigned, success_rate)| AgentSnapshot {
            slots,
            running,
            assigned,
            success_rate,
            capabilities: ["write", "read", "draw"][number.min(1)..]
                .iter()
                .map(|c| (*c).to_owned())
                .collect(),
            ..agent(number)
        },
    )
}

proptest! {
    #[test]
    fn every_score_lies_between_0_and_1_and_the_best_comes_first(
        agents in proptest::collection::vec(any_agent(), 0..30),
        last in 0..5_usize,
    ) {
        let ranking = rank(&writing(), Some(id(last)), &agents);
        let fits = |agent: &&AgentSnapshot| eligible(&writing(), agent, &terms()).is_none();
        let fitting = agents.iter().filter(fits).count();
        prop_assert_eq!(ranking.order.len(), fitting.min(20));
        let totals: Vec<f64> = ranking
            .card
            .candidates
            .iter()
            .filter_map(|candidate| candidate.scores)
            .map(|scores| {
                for part in [scores.fit, scores.availability, scores.balance, scores.affinity] {
                    assert!((0.0..=1.0).contains(&part), "{scores:?}");
                }
                scores.total
            })
            .collect();
        prop_assert!(totals.is_sorted_by(|a, b| a >= b));
        for &position in &ranking.order {
            prop_assert_eq!(eligible(&writing(), &agents[position], &terms()), None);
        }
        let listed = ranking.card.candidates.len() + ranking.card.omitted as usize;
        prop_assert_eq!(listed, agents.len());
    }
}
