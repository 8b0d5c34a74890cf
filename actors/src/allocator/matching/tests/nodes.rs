//! What the agents' nodes have to do with it: load, distance, region.

use super::*;

#[test]
fn a_step_goes_to_another_node_only_for_an_eighth_of_the_slots() {
    let elsewhere = NodeId::from_uuid(Uuid::from_u128(99));
    for (slots, running, chosen) in [(5, 0, 0), (5, 1, 0), (5, 2, 1), (64, 8, 0), (64, 9, 1)] {
        let mut two = agents(2);
        for agent in &mut two {
            agent.slots = slots;
        }
        two[0].running = running;
        two[1].node = elsewhere;
        let ranking = rank(&writing(), None, &two);
        assert_eq!(ranking.order[0], chosen, "{running} of {slots}");
    }
    let mut two = agents(2);
    two[0].running = two[0].slots;
    two[1].running = two[1].slots - 1;
    two[1].node = elsewhere;
    assert_eq!(rank(&writing(), None, &two).order, [1]);
}

#[test]
fn a_node_over_any_measured_limit_starts_no_declared_work() {
    let over: [fn(&mut NodeLoad); 3] = [
        |load| load.cpu_used = 0.99,
        |load| load.memory_used = 0.96,
        |load| load.disk_used = 0.96,
    ];
    let mut declared = agent(0);
    declared.resources.cpu = 0.5;
    assert_eq!(eligible(&writing(), &declared, &terms()), None);
    for (index, over) in over.iter().enumerate() {
        let mut load = terms().nodes[0];
        over(&mut load);
        let nodes = [load];
        let terms = Terms {
            nodes: &nodes,
            ..terms()
        };
        let excluded = eligible(&writing(), &declared, &terms);
        assert_eq!(excluded, Some(Exclusion::Resources), "limit {index}");
        assert_eq!(
            eligible(&writing(), &agent(0), &terms),
            None,
            "limit {index}"
        );
    }
}

#[test]
fn who_prefers_what_is_near_takes_the_better_agent_elsewhere_only_when_there_is_none_near() {
    let (near, far) = (
        NodeId::from_uuid(Uuid::from_u128(71)),
        NodeId::from_uuid(Uuid::from_u128(72)),
    );
    let on = |number, node, running| AgentSnapshot {
        node,
        running,
        ..agent(number)
    };
    let (busy_near, idle_far) = (on(1, near, 3), on(2, far, 0));
    let requirement = Requirement {
        prefer_local: true,
        ..writing()
    };
    let loads: Vec<_> = [near, far]
        .map(|node| NodeLoad {
            node,
            ..terms().nodes[0]
        })
        .to_vec();
    let terms = Terms {
        near: &[near],
        nodes: &loads,
        ..terms()
    };
    let best = |requirement: &Requirement, agents: &[AgentSnapshot]| {
        let request = Request {
            requirement,
            wanted: &[],
            last_agent: None,
        };
        evaluate(&request, agents, &terms).order
    };
    let both = [busy_near, idle_far.clone()];
    assert_eq!(best(&requirement, &both), [0, 1]);
    assert_eq!(best(&writing(), &both), [1, 0]);
    assert_eq!(best(&requirement, std::slice::from_ref(&idle_far)), [0]);
    // Among equals the region decides, asked for or not.
    let equals = [on(3, far, 0), on(4, near, 0)];
    assert_eq!(best(&writing(), &equals), [1, 0]);
}
