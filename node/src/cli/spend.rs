//! What agents took, in a few words.

/// Tokens and cost, as far as any are known.
pub(super) fn spend(tokens: u64, cost_micros: u64) -> String {
    let tokens = (tokens > 0).then(|| format!("{} tok", short(tokens)));
    // In whatever currency the agents report.
    let cost = (cost_micros > 0).then(|| format!("cost {}", cost(cost_micros)));
    match (tokens, cost) {
        (None, None) => "no spend told".to_owned(),
        (Some(only), None) | (None, Some(only)) => only,
        (Some(tokens), Some(cost)) => format!("{tokens}, {cost}"),
    }
}

/// The same for a narrow column: tokens and cost with a slash between them.
pub(super) fn brief(tokens: u64, cost_micros: u64) -> String {
    match (tokens, cost_micros) {
        (0, 0) => String::new(),
        (tokens, 0) => short(tokens),
        (0, micros) => format!("-/{}", cost(micros)),
        (tokens, micros) => format!("{}/{}", short(tokens), cost(micros)),
    }
}

/// A number to three digits.
fn short(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let unit = units.into_iter().find(|(size, _)| number >= *size);
    let Some((size, name)) = unit else {
        return number.to_string();
    };
    match (number / size, number % size * 10 / size) {
        (whole @ 100.., _) => format!("{whole}{name}"),
        (whole, tenth) => format!("{whole}.{tenth}{name}"),
    }
}

/// To a hundredth, and finer where that is nothing.
fn cost(micros: u64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    match micros {
        10_000.. => format!("{whole}.{:02}", rest / 10_000),
        _ => format!("0.{rest:06}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_shows_tokens_and_cost_as_far_as_they_are_known() {
        let columns = [(0, 0), (1_250, 0), (0, 1_230_000), (1_250, 1_230_000)];
        let shown = columns.map(|(tokens, cost)| brief(tokens, cost));
        assert_eq!(shown, ["", "1.2k", "-/1.23", "1.2k/1.23"]);
    }

    #[test]
    fn spend_is_told_as_far_as_it_is_known() {
        for (tokens, cost, expected) in [
            (0, 0, "no spend told"),
            (999, 0, "999 tok"),
            (0, 1_239_999, "cost 1.23"),
            (1_250, 40, "1.2k tok, cost 0.000040"),
            (123_456_789, 12_000_000, "123M tok, cost 12.00"),
        ] {
            assert_eq!(spend(tokens, cost), expected);
        }
    }
}
