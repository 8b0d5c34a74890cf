//! One line as a JSON object, with the ids of all that it happened in.

use std::fmt as std_fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

use crate::config::LogFields;

/// Version of the Elastic Common Schema that lines follow.
const ECS: &str = "8.11.0";

/// Where the schema has names of its own for what lines carry.
const ECS_NAMES: [(&str, &str); 4] = [
    ("request", "http.request.id"),
    ("trace", "trace.id"),
    ("span", "span.id"),
    ("error", "error.message"),
];

/// What entities' ids begin with, and under which name programs look for them.
const ENTITIES: [(&str, &str); 2] = [("task_", "task"), ("agent_", "agent")];

/// Writes events as JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    fields: LogFields,
}

impl Lines {
    pub(super) const fn new(fields: LogFields) -> Self {
        Self { fields }
    }
}

impl<S> FormatEvent<S, JsonFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std_fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut said = Said::default();
        event.record(&mut said);
        let scope = context.event_scope().into_iter().flatten();
        for span in scope {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<JsonFields>>()
                && let Ok(Value::Object(fields)) = serde_json::from_str(&fields.fields)
            {
                for (name, value) in fields {
                    // What is nearer to the event is more exact.
                    said.fields.entry(name).or_insert(value);
                }
            }
        }
        said.name_entity();
        let meta = event.metadata();
        let line = match self.fields {
            LogFields::Plain => plain(&time, meta, said),
            LogFields::Ecs => ecs(&time, meta, said),
        };
        let text = serde_json::to_string(&line).map_err(|_| std_fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

fn plain(time: &str, meta: &tracing::Metadata<'_>, said: Said) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), time.into());
    line.insert("level".to_owned(), meta.level().as_str().into());
    line.insert("target".to_owned(), meta.target().into());
    line.insert("message".to_owned(), said.message.into());
    line.extend(said.fields);
    line
}

fn ecs(time: &str, meta: &tracing::Metadata<'_>, mut said: Said) -> Map<String, Value> {
    let level = meta.level().as_str().to_ascii_lowercase();
    let mut line = Map::new();
    line.insert("@timestamp".to_owned(), time.into());
    line.insert("log.level".to_owned(), level.into());
    line.insert("message".to_owned(), said.message.into());
    line.insert("ecs.version".to_owned(), ECS.into());
    line.insert("service.name".to_owned(), "troupe".into());
    line.insert("log.logger".to_owned(), meta.target().into());
    for (ours, theirs) in ECS_NAMES {
        if let Some(value) = said.fields.shift_remove(ours) {
            line.insert(theirs.to_owned(), value);
        }
    }
    if !said.fields.is_empty() {
        line.insert("troupe".to_owned(), Value::Object(said.fields));
    }
    line
}

/// What an event says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    /// An entity is a task or an agent; programs look for it under that name.
    fn name_entity(&mut self) {
        let Some(Value::String(id)) = self.fields.get("entity") else {
            return;
        };
        let name = ENTITIES.iter().find(|(prefix, _)| id.starts_with(prefix));
        if let Some((_, name)) = name {
            let id = Value::String(id.clone());
            self.fields.entry((*name).to_owned()).or_insert(id);
        }
    }

    fn keep(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std_fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.keep(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.keep(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::json;
    use tracing_subscriber::{Registry, fmt, layer::SubscriberExt};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(fields: LogFields, say: impl FnOnce()) -> Value {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = fmt::layer()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Lines::new(fields));
        tracing::subscriber::with_default(Registry::default().with(lines), say);
        let bytes = kept.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.ends_with('\n') && text.matches('\n').count() == 1,
            "{text}"
        );
        serde_json::from_str(&text).unwrap()
    }

    fn say() {
        let request = tracing::info_span!("request", request = "req_1", route = "x");
        let _request = request.enter();
        let entity = tracing::info_span!("entity", entity = "task_7", actor = "/tasks/task_7");
        let _entity = entity.enter();
        tracing::warn!(count = 3, route = "near", error = "broke", "two\nlines");
    }

    #[test]
    fn a_line_has_the_ids_of_all_that_it_happened_in_and_the_nearest_word_counts() {
        let line = line(LogFields::Plain, say);
        for (key, value) in [
            ("level", json!("WARN")),
            ("message", json!("two\nlines")),
            ("request", json!("req_1")),
            ("task", json!("task_7")),
            ("actor", json!("/tasks/task_7")),
            ("route", json!("near")),
            ("count", json!(3)),
        ] {
            assert_eq!(line[key], value, "{line}");
        }
    }

    #[test]
    fn under_ecs_common_things_have_the_common_names() {
        let line = line(LogFields::Ecs, say);
        for (key, value) in [
            ("log.level", json!("warn")),
            ("http.request.id", json!("req_1")),
            ("error.message", json!("broke")),
            ("ecs.version", json!(ECS)),
        ] {
            assert_eq!(line[key], value, "{line}");
        }
        assert!(
            line["@timestamp"].as_str().unwrap().ends_with('Z'),
            "{line}"
        );
        assert_eq!(line["troupe"]["task"], "task_7");
        assert!(line.get("request").is_none(), "{line}");
    }
}
