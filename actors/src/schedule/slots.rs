//! When the slots of a schedule are.
//!
//! Cron is meant in wall-clock time. Where clocks go forward, a slot at a fixed time that does not exist
//! fires at the first moment after the gap, and those of a pattern such as `*/5` that do not exist are
//! left out. Where clocks go back, a slot at a fixed time that exists twice fires at the first of the
//! two, and a pattern goes on through both. The rules of time zones are this build's own.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use protocol::{
    api::FieldError,
    id::ScheduleId,
    schedule::ScheduleSpec,
    time::{Span, Timestamp},
};
use sha2::{Digest, Sha256};

/// Characters that a cron expression may have.
const LONGEST: usize = 200;

/// The shortest time between two slots of `every`.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest jitter.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The slots of a schedule, compiled.
#[derive(Debug, Clone)]
pub struct Slots {
    id: ScheduleId,
    kind: Kind,
    jitter: Duration,
    starts: Option<Timestamp>,
    ends: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Kind {
    Cron(Box<Cron>, TimeZone),
    At(Timestamp),
    Every { first: Timestamp, span: Duration },
}

/// Slots whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// In order.
    pub slots: Vec<Timestamp>,
    /// Whether there are later ones that are due too.
    pub more: bool,
}

impl Slots {
    /// Compiles what a client wrote down at `made`.
    ///
    /// # Errors
    ///
    /// Each field that is wrong, why, and what helps.
    pub fn of(
        id: ScheduleId,
        spec: &ScheduleSpec,
        made: Timestamp,
    ) -> Result<Self, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let jitter = spec.jitter.map_or(Duration::ZERO, |Span(jitter)| jitter);
        if jitter > DAY {
            wrong.push(FieldError::new("jitter", "is longer than 1d; choose less"));
        }
        if let (Some(starts), Some(ends)) = (spec.starts, spec.ends)
            && ends <= starts
        {
            let message = format!("is not after `starts`, {starts}; choose a later moment");
            wrong.push(FieldError::new("ends", message));
        }
        if spec.tz.is_some() && spec.cron.is_none() {
            let message =
                "is for `cron` alone; leave it out, `at` and `starts` have their own offset";
            wrong.push(FieldError::new("tz", message));
        }
        match kind(spec, made) {
            Ok(kind) if wrong.is_empty() => Ok(Self {
                id,
                kind,
                jitter,
                starts: spec.starts,
                ends: spec.ends,
            }),
            Ok(_) => Err(wrong),
            Err(error) => {
                wrong.push(error);
                Err(wrong)
            }
        }
    }

    /// The first slot after a moment.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let before_start = |starts: Timestamp| Timestamp::from_micros(starts.as_micros() - 1);
        let moment = self
            .starts
            .map_or(moment, |starts| moment.max(before_start(starts)));
        let slot = match &self.kind {
            Kind::At(at) => Some(*at).filter(|at| *at > moment),
            Kind::Every { first, span } => Some(next_of(*first, *span, moment)),
            Kind::Cron(cron, zone) => next_by_clock(cron, zone, moment),
        };
        slot.filter(|slot| self.ends.is_none_or(|ends| *slot < ends))
    }

    /// How much later than its time a slot fires: always the same for one slot of one schedule.
    #[must_use]
    pub fn delay(&self, slot: Timestamp) -> Duration {
        let most = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        let mut hash = Sha256::new();
        hash.update(self.id.uuid().as_bytes());
        hash.update(slot.as_micros().to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        Duration::from_micros(u64::from_be_bytes([a, b, c, d, e, f, g, h]) % most)
    }

    /// When a slot fires.
    #[must_use]
    pub fn fires_at(&self, slot: Timestamp) -> Timestamp {
        slot.plus(self.delay(slot))
    }

    /// The first slots after a moment that are due at `now`, as many as `most`. A slot comes after those
    /// before it: one whose jitter is not over keeps the later ones back.
    #[must_use]
    pub fn due(&self, after: Timestamp, now: Timestamp, most: usize) -> Due {
        let mut slots = Vec::new();
        let mut last = after;
        while let Some(slot) = self.after(last) {
            if self.fires_at(slot) > now {
                break;
            }
            if slots.len() >= most {
                return Due { slots, more: true };
            }
            slots.push(slot);
            last = slot;
        }
        Due { slots, more: false }
    }
}

fn kind(spec: &ScheduleSpec, made: Timestamp) -> Result<Kind, FieldError> {
    match (&spec.cron, spec.at, spec.every) {
        (Some(cron), None, None) => {
            let zone = zone(spec.tz.as_deref())?;
            let cron = pattern(cron)?;
            if next_by_clock(&cron, &zone, made).is_none() {
                return Err(FieldError::new(
                    "cron",
                    "names no moment that ever comes; look at its day and its month",
                ));
            }
            Ok(Kind::Cron(Box::new(cron), zone))
        }
        (None, Some(at), None) => Ok(Kind::At(at)),
        (None, None, Some(Span(span))) if span < SHORTEST => Err(FieldError::new(
            "every",
            format!("is shorter than {}; choose more", Span(SHORTEST)),
        )),
        (None, None, Some(Span(span))) => Ok(Kind::Every {
            first: spec.starts.unwrap_or_else(|| made.plus(span)),
            span,
        }),
        (None, None, None) => Err(FieldError::new(
            "cron",
            "is missing; give `cron`, `at` or `every`",
        )),
        _ => Err(FieldError::new(
            "cron",
            "stands beside `at` or `every`, or these beside each other; give one of the three",
        )),
    }
}

fn pattern(text: &str) -> Result<Cron, FieldError> {
    let wrong = |why: String| {
        let fields =
            "five or six fields: second (optional), minute, hour, day of month, month, day of week";
        FieldError::new("cron", format!("{why}; give {fields}, as `0 3 * * *`"))
    };
    if text.len() > LONGEST || !text.is_ascii() {
        return Err(wrong(format!(
            "has other characters than ASCII, or more than {LONGEST}"
        )));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build();
    parser.parse(text).map_err(|error| {
        wrong(
            format!("is no cron expression: {error}")
                .trim_end_matches('.')
                .to_owned(),
        )
    })
}

fn zone(name: Option<&str>) -> Result<TimeZone, FieldError> {
    let Some(name) = name else {
        return Ok(TimeZone::UTC);
    };
    TimeZoneDatabase::bundled().get(name).map_err(|_| {
        let shown: String = name.chars().take(80).collect();
        FieldError::new(
            "tz",
            format!("`{shown}` is no time zone; give a name of the IANA database, as `Europe/Berlin` or `UTC`"),
        )
    })
}

/// The first moment after another by the clocks of a zone.
fn next_by_clock(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let second = after.as_micros().div_euclid(1_000_000);
    let start = jiff::Timestamp::from_second(second)
        .ok()?
        .to_zoned(zone.clone());
    let next = cron.find_next_occurrence(&start, false).ok()?;
    Some(Timestamp::from_micros(next.timestamp().as_microsecond()))
}

fn next_of(first: Timestamp, span: Duration, after: Timestamp) -> Timestamp {
    if after < first {
        return first;
    }
    let span_micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let since = u64::try_from(after.since(first).as_micros()).unwrap_or(u64::MAX);
    let number = since / span_micros + 1;
    first.plus(Duration::from_micros(number.saturating_mul(span_micros)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "JSON is put together where it is used"
    )]
    fn slots(spec: serde_json::Value, made: &str) -> Result<Slots, Vec<FieldError>> {
        let mut whole = serde_json::json!({ "name": "x", "target": {} });
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let spec = serde_json::from_value(whole).unwrap();
        Slots::of(
            ScheduleId::from_uuid(Uuid::from_u128(7)),
            &spec,
            moment(made),
        )
    }

    fn first(slots: &Slots, after: &str, count: usize) -> Vec<String> {
        let mut last = moment(after);
        let next = std::iter::from_fn(|| {
            last = slots.after(last)?;
            Some(last.to_string().replace(".000000Z", "Z"))
        });
        next.take(count).collect()
    }

    fn by(cron: &str, tz: &str, after: &str, count: usize) -> Vec<String> {
        let spec = serde_json::json!({ "cron": cron, "tz": tz });
        first(&slots(spec, "2025-01-01T00:00:00Z").unwrap(), after, count)
    }

    #[test]
    fn cron_has_five_fields_or_six() {
        let utc = |cron| by(cron, "UTC", "2025-06-01T11:59:59.5Z", 2);
        assert_eq!(
            utc("0 12 * * *"),
            ["2025-06-01T12:00:00Z", "2025-06-02T12:00:00Z"]
        );
        assert_eq!(
            utc("*/30 * * * * *"),
            ["2025-06-01T12:00:00Z", "2025-06-01T12:00:30Z"]
        );
        assert_eq!(
            utc("0 0 29 2 *"),
            ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn a_slot_is_meant_by_the_clocks_of_its_zone() {
        let berlin = by("0 9 * * *", "Europe/Berlin", "2025-03-29T00:00:00Z", 2);
        assert_eq!(berlin, ["2025-03-29T08:00:00Z", "2025-03-30T07:00:00Z"]);
    }

    #[test]
    fn a_fixed_time_that_does_not_exist_fires_after_the_gap() {
        let found = by("30 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 2);
        assert_eq!(found, ["2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]);
    }

    #[test]
    fn a_fixed_time_that_exists_twice_fires_at_the_first() {
        let found = by("30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", 2);
        assert_eq!(found, ["2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]);
    }

    #[test]
    fn a_pattern_leaves_the_gap_out_and_goes_through_what_exists_twice() {
        let spring = by("*/30 * * * *", "Europe/Berlin", "2025-03-30T00:29:00Z", 3);
        assert_eq!(
            spring,
            [
                "2025-03-30T00:30:00Z",
                "2025-03-30T01:00:00Z",
                "2025-03-30T01:30:00Z"
            ]
        );
        let autumn = by("*/30 * * * *", "Europe/Berlin", "2025-10-25T23:59:00Z", 5);
        assert_eq!(
            autumn,
            [
                "2025-10-26T00:00:00Z",
                "2025-10-26T00:30:00Z",
                "2025-10-26T01:00:00Z",
                "2025-10-26T01:30:00Z",
                "2025-10-26T02:00:00Z"
            ]
        );
    }

    #[test]
    fn spans_are_counted_from_the_start_and_slots_stay_within_the_validity() {
        let made = "2025-01-01T00:00:00Z";
        let every = slots(serde_json::json!({ "every": "1h" }), made).unwrap();
        assert_eq!(
            first(&every, made, 2),
            ["2025-01-01T01:00:00Z", "2025-01-01T02:00:00Z"]
        );
        let spec = serde_json::json!({
            "every": "1h", "starts": "2025-01-02T00:30:00Z", "ends": "2025-01-02T02:30:00Z",
        });
        let bounded = slots(spec, made).unwrap();
        assert_eq!(
            first(&bounded, made, 9),
            ["2025-01-02T00:30:00Z", "2025-01-02T01:30:00Z"]
        );
        let spec = serde_json::json!({ "cron": "0 * * * *", "starts": "2025-01-02T00:00:00Z" });
        let cron = slots(spec, made).unwrap();
        assert_eq!(first(&cron, made, 1), ["2025-01-02T00:00:00Z"]);
        let once = slots(serde_json::json!({ "at": "2025-01-02T00:00:00Z" }), made).unwrap();
        assert_eq!(first(&once, made, 9), ["2025-01-02T00:00:00Z"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (spec, field) in [
            (serde_json::json!({}), "cron"),
            (serde_json::json!({ "cron": "* * *" }), "cron"),
            (serde_json::json!({ "cron": "* * * * * * *" }), "cron"),
            (serde_json::json!({ "cron": "61 * * * *" }), "cron"),
            (serde_json::json!({ "cron": "0 0 30 2 *" }), "cron"),
            (
                serde_json::json!({ "cron": "0 * * * *", "every": "1h" }),
                "cron",
            ),
            (
                serde_json::json!({ "cron": "0 * * * *", "tz": "Mars/Base" }),
                "tz",
            ),
            (serde_json::json!({ "every": "1h", "tz": "UTC" }), "tz"),
            (serde_json::json!({ "every": "10ms" }), "every"),
            (
                serde_json::json!({ "every": "1h", "jitter": "2d" }),
                "jitter",
            ),
            (
                serde_json::json!({ "every": "1h", "starts": "2025-01-02T00:00:00Z", "ends": "2025-01-01T00:00:00Z" }),
                "ends",
            ),
        ] {
            let errors = slots(spec.clone(), "2025-01-01T00:00:00Z").unwrap_err();
            assert_eq!(errors[0].field, field, "{spec}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_for_a_cron_expression(text in "[ -~]{0,40}") {
            let _ = pattern(&text);
        }

        #[test]
        fn slots_only_go_forward_and_none_is_lost_between_two_looks(
            cron in prop::sample::select(vec![
                "*/7 * * * *", "30 2 * * *", "0 */2 * * *", "15 1,2,3 * * *", "59 59 1-3 * * *",
            ]),
            tz in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
            ]),
            day in 0_i64..400,
            jump in 1_i64..200_000,
        ) {
            let slots = slots(serde_json::json!({ "cron": cron, "tz": tz }), "2025-01-01T00:00:00Z").unwrap();
            let start = Timestamp::from_micros((1_735_689_600 + day * 86_400) * 1_000_000);
            let mut last = start;
            let mut walked = Vec::new();
            for _ in 0..60 {
                let next = slots.after(last).unwrap();
                prop_assert!(next > last);
                walked.push(next);
                last = next;
            }
            // Whoever begins to look in the middle sees the rest of the same.
            let from = start.plus(Duration::from_secs(jump.unsigned_abs()));
            let rest: Vec<_> = walked.iter().copied().filter(|slot| *slot > from).collect();
            if let Some(first) = rest.first() {
                prop_assert_eq!(slots.after(from), Some(*first));
            }
        }

        #[test]
        fn a_slot_fires_never_early_and_within_its_jitter(second in 0_i64..10_000_000) {
            let slots = slots(serde_json::json!({ "every": "1h", "jitter": "10m" }), "2025-01-01T00:00:00Z").unwrap();
            let slot = Timestamp::from_micros(second * 1_000_000);
            let delay = slots.delay(slot);
            prop_assert!(delay < Duration::from_secs(600));
            prop_assert_eq!(slots.fires_at(slot).since(slot), delay);
        }
    }
}
