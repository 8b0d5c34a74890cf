//! Which steps a schema lacks.

use super::Error;

/// A step's name and SQL; its version is its place, from 1.
pub(super) type Step = (&'static str, &'static str);

/// The steps after `found`, or why a schema of that version is not touched.
pub(super) fn missing(
    steps: &[Step],
    found: i64,
) -> Result<impl Iterator<Item = (i64, &Step)>, Error> {
    let newest = steps.len();
    match usize::try_from(found) {
        Ok(found) if found <= newest => Ok((1..).zip(steps).skip(found)),
        Ok(_) | Err(_) => Err(Error::Unusable(format!(
            "its schema has version {found}, this build knows {newest} at most, and a downgrade is \
             refused; start a build that knows version {found}, or restore a backup from before \
             the upgrade"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 2] = [("one", ""), ("two", "")];

    #[test]
    fn only_missing_steps_are_taken() {
        for (found, expected) in [(0, vec![1, 2]), (1, vec![2]), (2, vec![])] {
            let versions: Vec<_> = missing(&STEPS, found)
                .unwrap()
                .map(|(version, _)| version)
                .collect();
            assert_eq!(versions, expected);
        }
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        let error = missing(&STEPS, 3).map(drop).unwrap_err().to_string();
        assert!(
            error.contains("version 3") && error.contains("knows 2"),
            "{error}"
        );
        assert!(error.contains("downgrade"), "{error}");
    }
}
