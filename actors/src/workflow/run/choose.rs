//! One answer made of several.

use serde_json::{Value, json};

use crate::workflow::expression::{EvalError, Fuel, Query};

/// What an expert answered, if it did.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Which expert.
    pub id: &'a str,
    /// What it answered; nothing when it failed.
    pub output: Option<&'a Value>,
}

/// The answer, and whose it is: an id, or all ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The answer.
    pub output: Value,
    /// Whose.
    pub choice: Value,
}

/// As a judge is told.
#[must_use]
pub fn listed(candidates: &[Candidate<'_>]) -> Value {
    let all = answers(candidates).map(|(id, output)| json!({ "id": id, "output": output }));
    Value::Array(all.collect())
}

/// What most of them say; among equals what the first of them says.
///
/// # Errors
///
/// In words, when nobody's answer has what counts, or they are too large to be looked through.
pub fn vote(candidates: &[Candidate<'_>], of: Option<&Query>) -> Result<Chosen, String> {
    let mut votes: Vec<(Value, usize, &str, &Value)> = Vec::new();
    let fuel = Fuel::full();
    for (id, output) in answers(candidates) {
        let vote = match of {
            None => Some(output),
            Some(path) => path.first(output, &fuel).map_err(|error| error.message)?,
        };
        let Some(vote) = vote else {
            continue;
        };
        match votes.iter_mut().find(|(other, ..)| other == vote) {
            Some((_, count, ..)) => *count += 1,
            None => votes.push((vote.clone(), 1, id, output)),
        }
    }
    let most = votes.iter().map(|(_, count, ..)| *count).max();
    let first = votes.iter().find(|(_, count, ..)| Some(*count) == most);
    match first {
        Some((_, _, id, output)) => Ok(chosen(id, output)),
        None => Err("no answer has what the vote is about".to_owned()),
    }
}

/// The answer with the highest number; among equals the first of them.
///
/// # Errors
///
/// In words, when no answer has a number there, or they are too large to be looked through.
pub fn best(candidates: &[Candidate<'_>], score: &Query) -> Result<Chosen, String> {
    let fuel = Fuel::full();
    let scored = answers(candidates).map(|(id, output)| {
        let score = score.first(output, &fuel)?.and_then(Value::as_f64);
        Ok(score.map(|score| (score, id, output)))
    });
    let scored: Vec<_> = scored
        .collect::<Result<_, EvalError>>()
        .map_err(|error| error.message)?;
    let scored = scored.into_iter().flatten();
    let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
    match best {
        Some((_, id, output)) => Ok(chosen(id, output)),
        None => Err(format!("no answer has a number at {score}")),
    }
}

/// All of them: texts put together, anything else as an array.
#[must_use]
pub fn concat(candidates: &[Candidate<'_>], separator: Option<&str>) -> Chosen {
    let outputs: Vec<&Value> = answers(candidates).map(|(_, output)| output).collect();
    let texts: Option<Vec<&str>> = outputs.iter().map(|output| output.as_str()).collect();
    let output = match texts {
        Some(texts) => Value::String(texts.join(separator.unwrap_or("\n"))),
        None => json!(outputs),
    };
    let ids: Vec<&str> = answers(candidates).map(|(id, _)| id).collect();
    Chosen {
        output,
        choice: json!(ids),
    }
}

/// As a judge said: one of them by its id, or an answer of its own.
///
/// # Errors
///
/// In words, when it named none of them.
pub fn as_judged(candidates: &[Candidate<'_>], said: &Value) -> Result<Chosen, String> {
    if let Some(choice) = said.get("choice").and_then(Value::as_str) {
        let named = answers(candidates).find(|(id, _)| *id == choice);
        return match named {
            Some((id, output)) => Ok(chosen(id, output)),
            None => Err(format!("the judge chose `{choice}`, which is no candidate")),
        };
    }
    match said.get("output") {
        Some(output) => Ok(Chosen {
            output: output.clone(),
            choice: Value::Null,
        }),
        None => Err("the judge answered neither `choice` nor `output`".to_owned()),
    }
}

fn answers<'a>(candidates: &[Candidate<'a>]) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let candidates = candidates.iter();
    candidates.filter_map(|one| Some((one.id, one.output?)))
}

fn chosen(id: &str, output: &Value) -> Chosen {
    Chosen {
        output: output.clone(),
        choice: Value::String(id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(outputs: &[Value]) -> Vec<(String, Value)> {
        let named = outputs.iter().enumerate();
        named
            .map(|(at, output)| (format!("e{at}"), output.clone()))
            .collect()
    }

    fn candidates(outputs: &[(String, Value)]) -> Vec<Candidate<'_>> {
        let all = outputs.iter();
        all.map(|(id, output)| Candidate {
            id,
            output: (!output.is_null()).then_some(output),
        })
        .collect()
    }

    #[test]
    fn most_votes_win_and_among_equals_the_first() {
        let answers = with(&[json!("b"), json!("a"), json!("a"), json!("b"), Value::Null]);
        let won = vote(&candidates(&answers), None).unwrap();
        assert_eq!((won.output, won.choice), (json!("b"), json!("e0")));
        let of = Query::parse("$.is", 0).unwrap();
        let answers = with(&[
            json!({"is": 1, "n": 0}),
            json!({"is": 2}),
            json!({"is": 2}),
            json!(3),
        ]);
        assert_eq!(vote(&candidates(&answers), Some(&of)).unwrap().choice, "e1");
        assert!(vote(&candidates(&with(&[json!(3)])), Some(&of)).is_err());
    }

    #[test]
    fn the_highest_number_wins_and_what_has_none_does_not_take_part() {
        let score = Query::parse("$.score", 0).unwrap();
        let answers = with(&[
            json!({"score": 1}),
            json!({"score": 2.5}),
            json!({"score": "9"}),
        ]);
        assert_eq!(best(&candidates(&answers), &score).unwrap().choice, "e1");
        assert!(best(&candidates(&with(&[json!({})])), &score).is_err());
    }

    #[test]
    fn texts_are_put_together_and_anything_else_is_an_array() {
        let texts = with(&[json!("a"), Value::Null, json!("b")]);
        let all = concat(&candidates(&texts), Some(", "));
        assert_eq!(
            (all.output, all.choice),
            (json!("a, b"), json!(["e0", "e2"]))
        );
        let mixed = with(&[json!("a"), json!(1)]);
        assert_eq!(concat(&candidates(&mixed), None).output, json!(["a", 1]));
    }

    #[test]
    fn a_judge_names_a_candidate_or_answers_itself() {
        let answers = with(&[json!("x"), Value::Null]);
        let all = candidates(&answers);
        assert_eq!(
            as_judged(&all, &json!({"choice": "e0"})).unwrap().output,
            "x"
        );
        assert!(as_judged(&all, &json!({"choice": "e1"})).is_err());
        let own = as_judged(&all, &json!({"output": 7})).unwrap();
        assert_eq!((own.output, own.choice), (json!(7), Value::Null));
        assert!(as_judged(&all, &json!("e0")).is_err());
    }

    #[test]
    fn of_a_path_that_finds_several_the_first_counts() {
        let score = Query::parse("$.scores[*]", 0).unwrap();
        let answers = with(&[json!({"scores": [1, 9]}), json!({"scores": [2]})]);
        assert_eq!(best(&candidates(&answers), &score).unwrap().choice, "e1");
    }
}
