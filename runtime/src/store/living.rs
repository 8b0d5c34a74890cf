//! Whose leases keep others from a store.

use std::{fmt, time::Duration};

use super::Survey;

/// Members whose lease runs, and for how long yet. One that was killed renews it no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living(Vec<(String, Duration)>);

impl Living {
    /// Those that a survey found, if any.
    #[must_use]
    pub fn of(survey: &Survey) -> Option<Self> {
        let rows = survey.members.iter().filter(|row| row.lives());
        let living: Vec<_> = rows
            .map(|row| (row.member.name.clone(), row.lease_left))
            .collect();
        (!living.is_empty()).then_some(Self(living))
    }

    /// What lets others in.
    #[must_use]
    pub fn remedy(&self) -> String {
        let longest = self.0.iter().map(|(_, left)| *left).max();
        format!(
            "stop the nodes first; the lease of one that was killed ends by itself: try again in {} s",
            seconds(longest.unwrap_or_default())
        )
    }
}

/// Whoever waits so long has waited long enough.
fn seconds(left: Duration) -> u128 {
    left.as_millis().div_ceil(1000)
}

impl fmt::Display for Living {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, left)) in self.0.iter().enumerate() {
            let and = if number == 0 { "" } else { " and " };
            write!(
                f,
                "{and}{name}, whose lease runs for {} s yet",
                seconds(*left)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lease_is_told_and_the_longest_is_to_be_waited_for() {
        let lease = |name: &str, millis| (name.to_owned(), Duration::from_millis(millis));
        let living = Living(vec![lease("one", 4_100), lease("w1", 900)]);
        let told = "one, whose lease runs for 5 s yet and w1, whose lease runs for 1 s yet";
        assert_eq!(living.to_string(), told);
        let remedy = living.remedy();
        assert!(remedy.ends_with("try again in 5 s"), "{remedy}");
    }
}
