//! What agents report of what a call took of models.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::usage::Usage;
use serde_json::{Map, Value};

/// What a call took so far, as its agent reports it, also of one that fails. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<Mutex<Usage>>);

impl Spent {
    /// The agent reports that it took this, beside what it reported before.
    pub fn add(&self, usage: Usage) {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spent.add(usage);
    }

    /// All that was reported, if anything was.
    #[must_use]
    pub fn get(&self) -> Option<Usage> {
        let spent = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!spent.is_unknown()).then_some(spent)
    }
}

/// What stands where an agent's configuration says that its usage stands.
#[must_use]
pub(super) fn declared(usage: &Value) -> Option<Usage> {
    let fields = usage.as_object()?;
    let usage = Usage {
        cost_micros: cost(fields),
        ..tokens(fields)
    };
    (!usage.is_unknown()).then_some(usage)
}

/// What a reply reports in one of the forms that are in wide use, without being asked for it: `usage`
/// with tokens as OpenAI and Anthropic count them, and `total_cost_usd` beside it as Claude Code has
/// it. Any other number may mean something else.
#[must_use]
pub(super) fn customary(reply: &Value) -> Option<Usage> {
    let reply = reply.as_object()?;
    let fields = reply.get("usage")?.as_object()?;
    let usage = tokens(fields);
    if usage.is_unknown() {
        return None;
    }
    let beside = reply.get("total_cost_usd").and_then(dollars);
    Some(Usage {
        cost_micros: beside.or_else(|| cost(fields)),
        ..usage
    })
}

fn tokens(fields: &Map<String, Value>) -> Usage {
    let count = |name: &str| fields.get(name).and_then(Value::as_u64);
    // Anthropic counts apart what was written to a cache and what was read from it.
    let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
    let cached: u64 = cached
        .into_iter()
        .filter_map(count)
        .fold(0, u64::saturating_add);
    let fresh = count("input_tokens").map(|tokens| tokens.saturating_add(cached));
    Usage {
        input_tokens: fresh.or_else(|| count("prompt_tokens")),
        output_tokens: count("output_tokens").or_else(|| count("completion_tokens")),
        cost_micros: None,
    }
}

fn cost(fields: &Map<String, Value>) -> Option<u64> {
    let micros = fields.get("cost_micros").and_then(Value::as_u64);
    micros.or_else(|| {
        let mut names = ["cost_usd", "total_cost_usd"].into_iter();
        names.find_map(|name| fields.get(name).and_then(dollars))
    })
}

/// Millionths, of a number that can be what something cost.
fn dollars(cost: &Value) -> Option<u64> {
    const MOST: f64 = 1e9;
    let cost = cost.as_f64().filter(|cost| (0.0..=MOST).contains(cost))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between nothing and 10^15"
    )]
    let micros = (cost * 1e6).round() as u64;
    Some(micros)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage(input: u64, output: u64, cost: Option<u64>) -> Option<Usage> {
        Some(Usage {
            input_tokens: Some(input),
            output_tokens: Some(output),
            cost_micros: cost,
        })
    }

    #[test]
    fn the_forms_in_wide_use_are_read_without_being_declared() {
        let openai = json!({
            "choices": [], "usage": { "prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15 },
        });
        assert_eq!(customary(&openai), usage(12, 3, None));
        let claude_code = json!({
            "type": "result", "total_cost_usd": 0.012_345_6, "result": "done",
            "usage": {
                "input_tokens": 4, "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 1_000, "output_tokens": 20,
            },
        });
        assert_eq!(customary(&claude_code), usage(1_104, 20, Some(12_346)));
        let plain = json!({
            "usage": { "input_tokens": 1, "output_tokens": 2, "cost_usd": 0.5, "cost_micros": 7 },
        });
        assert_eq!(customary(&plain), usage(1, 2, Some(7)));
    }

    #[test]
    fn no_figure_is_made_up_of_what_may_mean_something_else() {
        for reply in [
            json!(null),
            json!([{ "usage": { "input_tokens": 1 } }]),
            json!({ "input_tokens": 5, "cost_usd": 3 }),
            json!({ "total_cost_usd": 3 }),
            json!({ "usage": "12 tokens" }),
            json!({ "usage": { "cpu": 0.5, "cost_usd": 3 } }),
            json!({ "usage": { "input_tokens": -1, "output_tokens": "7" } }),
            json!({ "usage": { "input_tokens": 1.5, "total_tokens": 9 } }),
        ] {
            assert_eq!(customary(&reply), None, "{reply}");
        }
        for cost in [json!(-1), json!("1"), json!(1e12), json!(null)] {
            let reply = json!({ "total_cost_usd": cost, "usage": { "output_tokens": 1 } });
            let found = customary(&reply).unwrap();
            assert_eq!((found.output_tokens, found.cost_micros), (Some(1), None));
        }
    }

    #[test]
    fn where_usage_is_declared_a_cost_alone_counts_too() {
        let cost = Usage {
            cost_micros: Some(2_500_000),
            ..Usage::default()
        };
        assert_eq!(declared(&json!({ "total_cost_usd": 2.5 })), Some(cost));
        assert_eq!(declared(&json!({ "requests": 3 })), None);
        assert_eq!(declared(&json!(3)), None);
    }

    #[test]
    fn what_is_reported_in_parts_adds_up() {
        let spent = Spent::default();
        assert_eq!(spent.get(), None);
        let other = spent.clone();
        for _ in 0..2 {
            other.add(usage(1, 2, None).unwrap());
        }
        assert_eq!(spent.get(), usage(2, 4, None));
    }
}
