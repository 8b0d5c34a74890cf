//! Words as people write them: which are nearly the same, and which mean the same.

/// The known name that a misspelt one most likely stands for.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    const LOOKED_AT: usize = 2_000;
    if given.len() > LONGEST {
        return None;
    }
    let far = given.chars().count() / 3 + 1;
    let near = known.filter(|name| name.len() <= LONGEST).take(LOOKED_AT);
    near.map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to add, drop or change until one word is the other; case does not count.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.to_lowercase().chars().enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for (at, other) in to.iter().enumerate() {
            let change = corner + usize::from(letter != *other);
            corner = row[at + 1];
            row[at + 1] = change.min(corner + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

/// The words of a name or a sentence, each by its [`stem`].
pub(super) fn stems(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| stem(word.trim_matches('\'')))
        .filter(|stem| !stem.is_empty())
        .collect()
}

/// What `write`, `writes`, `writer` and `writing` have in common. Cut by ending alone: wrong for
/// some words, but equally wrong wherever they stand.
fn stem(word: &str) -> String {
    const SHORTEST: usize = 3;
    let lower = word.to_lowercase();
    let mut stem = lower.strip_suffix("'s").unwrap_or(&lower).to_owned();
    let cut = |stem: &mut String, ending: &str, instead: &str| {
        let kept = stem.strip_suffix(ending).map(str::len);
        let long = kept.filter(|&kept| kept + instead.len() >= SHORTEST);
        if let Some(kept) = long {
            stem.truncate(kept);
            stem.push_str(instead);
        }
        long.is_some()
    };
    // Plural, unless the word ends in `ss` or names a state like `analysis`.
    if !stem.ends_with("ss") && !stem.ends_with("sis") {
        let _ = cut(&mut stem, "ies", "y") || cut(&mut stem, "s", "");
    }
    let endings = [
        ("ysis", "yz"),
        ("ization", "iz"),
        ("isation", "iz"),
        ("ation", "at"),
        ("ition", "it"),
        ("ing", ""),
        ("er", ""),
        ("ed", ""),
    ];
    let _ = endings
        .iter()
        .any(|(ending, instead)| cut(&mut stem, ending, instead));
    let _ = cut(&mut stem, "e", "");
    // `summarise` is `summarize`, `running` is `run`.
    if cut(&mut stem, "ys", "yz") || cut(&mut stem, "is", "iz") {
        return stem;
    }
    let mut last = stem.chars().rev();
    if let (Some(a), Some(b)) = (last.next(), last.next())
        && a == b
        && a.is_ascii_alphabetic()
        && stem.len() > SHORTEST
    {
        stem.pop();
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_name_that_was_meant() {
        let known = ["fetch", "summarise", "report", "a"];
        for (given, meant) in [
            ("fetsh", Some("fetch")),
            ("Fetch", Some("fetch")),
            ("sumarize", Some("summarise")),
            ("reports", Some("report")),
            ("b", Some("a")),
            ("licence", None),
            ("", Some("a")),
        ] {
            assert_eq!(nearest(given, known.into_iter()), meant, "{given}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known.into_iter()), None);
    }

    #[test]
    fn forms_of_a_word_have_one_stem_and_other_words_another() {
        for family in [
            "write writes writer writing",
            "summarise summarize summarises summarizer summarising summarization",
            "analyse analyze analysis analysing analyzer",
            "translate translates translating translation translation's",
            "test tests testing tester tested",
            "run runs running runner",
            "query queries",
            "code coding coder",
            "review reviews reviewer reviewing reviewed",
        ] {
            let stems = stems(family);
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{stems:?}");
        }
        let others = stems("write test run code class search report deploy plan");
        let distinct: std::collections::HashSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len(), "{others:?}");
        assert_eq!(
            stems("web_search-v2.0 (fast)"),
            ["web", "search", "v2", "0", "fast"]
        );
    }
}
