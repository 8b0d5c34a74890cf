//! Which node hosts an agent.

use std::cmp::Reverse;

use protocol::{agent::Placement, id::AgentId, id::NodeId};

use crate::cluster::{Site, Standing};

/// The node that is to host an agent: the present one as long as it fits, else the one whose name
/// and the agent's id draw the highest lot. So a node that leaves gives its agents to all others
/// alike, and one that comes back under its name draws those that it had.
#[must_use]
pub fn choose<'a>(
    agent: AgentId,
    placement: &Placement,
    present: Option<NodeId>,
    sites: &'a [Site],
) -> Option<&'a Site> {
    let fitting = || sites.iter().filter(|site| fits(placement, site));
    fitting()
        .find(|site| Some(site.node) == present)
        .or_else(|| fitting().max_by_key(|site| (lot(agent, &site.name), Reverse(site.node))))
}

/// Whether a node may take an agent in that asks for this.
#[must_use]
pub fn fits(placement: &Placement, site: &Site) -> bool {
    let Placement { region, node, role } = placement;
    site.standing == Standing::Up
        && region
            .as_ref()
            .is_none_or(|region| **region == *site.region)
        && node.as_ref().is_none_or(|node| **node == *site.name)
        && role.is_none_or(|role| site.roles.has(role))
}

/// A number that follows from both alone: FNV-1a, its bits mixed so that all of them count.
fn lot(agent: AgentId, name: &str) -> u64 {
    let id = *agent.uuid().as_bytes();
    let bytes = id.iter().chain(name.as_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use protocol::member::{NodeRole, Roles};
    use uuid::Uuid;

    use super::*;

    fn node(number: u128) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(number))
    }

    fn agent(number: u128) -> AgentId {
        AgentId::from_uuid(Uuid::from_u128(number << 64 | number))
    }

    fn site(number: u128) -> Site {
        Site {
            node: node(number),
            name: format!("node-{number}").into(),
            region: if number.is_multiple_of(2) {
                "even"
            } else {
                "odd"
            }
            .into(),
            roles: Roles::all(),
            standing: Standing::Up,
        }
    }

    fn chosen(number: u128, present: Option<NodeId>, sites: &[Site]) -> NodeId {
        let anywhere = Placement::default();
        choose(agent(number), &anywhere, present, sites)
            .unwrap()
            .node
    }

    #[test]
    fn an_agent_stays_where_it_is_while_its_node_fits() {
        let sites: Vec<_> = (1..=3).map(site).collect();
        for number in 0..50 {
            assert_eq!(chosen(number, Some(node(2)), &sites), node(2));
        }
        let mut draining = sites;
        draining[1].standing = Standing::Draining;
        for number in 0..50 {
            assert_ne!(chosen(number, Some(node(2)), &draining), node(2));
        }
    }

    #[test]
    fn agents_spread_and_a_node_that_leaves_moves_only_its_own() {
        let sites: Vec<_> = (1..=3).map(site).collect();
        let mut hosted: HashMap<NodeId, u32> = HashMap::new();
        for number in 0..3000 {
            let before = chosen(number, None, &sites);
            *hosted.entry(before).or_default() += 1;
            let after = chosen(number, None, &sites[..2]);
            assert!(before == node(3) || after == before, "{number} moved");
        }
        assert!(hosted.values().all(|count| *count > 900), "{hosted:?}");
    }

    #[test]
    fn a_node_that_comes_back_under_its_name_draws_what_it_had() {
        let sites: Vec<_> = (1..=3).map(site).collect();
        let mut later = sites.clone();
        later[2].node = node(9);
        for number in 0..100 {
            let (before, after) = (chosen(number, None, &sites), chosen(number, None, &later));
            assert_eq!(before == node(3), after == node(9));
        }
    }

    #[test]
    fn only_nodes_that_the_agent_asks_for_come_into_question() {
        let mut sites: Vec<_> = (1..=4).map(site).collect();
        sites[3].roles = [NodeRole::Worker].into_iter().collect();
        let asks = |placement: Placement| {
            let found: Vec<_> = sites.iter().filter(|site| fits(&placement, site)).collect();
            found.into_iter().map(|site| site.node).collect::<Vec<_>>()
        };
        let anywhere = Placement::default();
        assert_eq!(asks(anywhere.clone()).len(), 4);
        let region = Some("even".to_owned());
        let even = Placement {
            region,
            ..anywhere.clone()
        };
        assert_eq!(asks(even.clone()), [node(2), node(4)]);
        let role = Some(NodeRole::Control);
        assert_eq!(asks(Placement { role, ..even }), [node(2)]);
        let named = Placement {
            node: Some("node-3".to_owned()),
            ..anywhere.clone()
        };
        assert_eq!(asks(named), [node(3)]);
        let nowhere = Placement {
            node: Some("away".to_owned()),
            ..anywhere
        };
        assert_eq!(choose(agent(1), &nowhere, Some(node(1)), &sites), None);
    }
}
