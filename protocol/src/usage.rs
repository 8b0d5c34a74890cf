//! What an attempt took of models, as its agent reported it.

use serde::{Deserialize, Serialize};

/// What an attempt took, as far as its agent said; nothing here is an estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Usage {
    /// Tokens that models read, those that they had in a cache among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens that models wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What it cost, in millionths of the currency that the agent reports in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

impl Usage {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what else was taken; what neither of them knows stays unknown.
    pub fn add(&mut self, other: Self) {
        let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        self.input_tokens = sum(self.input_tokens, other.input_tokens);
        self.output_tokens = sum(self.output_tokens, other.output_tokens);
        self.cost_micros = sum(self.cost_micros, other.cost_micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_stays_unknown_and_is_not_written() {
        let mut usage = Usage::default();
        assert!(usage.is_unknown());
        usage.add(Usage {
            input_tokens: Some(3),
            ..Usage::default()
        });
        usage.add(Usage {
            input_tokens: Some(4),
            cost_micros: Some(0),
            ..Usage::default()
        });
        let written = serde_json::to_string(&usage).unwrap();
        assert_eq!(written, r#"{"input_tokens":7,"cost_micros":0}"#);
        assert_eq!(serde_json::from_str::<Usage>(&written).unwrap(), usage);
        assert!(serde_json::from_str::<Usage>("{}").unwrap().is_unknown());
    }
}
