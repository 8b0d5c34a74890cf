//! Lets lines through by their level, and our spans at any: a warning has its ids as well.

use tracing::{
    Event, Metadata, Subscriber,
    metadata::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter,
    layer::{Context, Layer},
    registry::LookupSpan,
};

/// What our spans come from.
const OURS: [&str; 3] = ["troupe", "actors", "runtime"];

/// A filter that no level keeps from knowing where it is.
#[derive(Debug)]
pub(super) struct Gate(pub(super) EnvFilter);

impl Gate {
    /// Whether this is a span that names ids. Nobody needs them when nothing is written.
    fn names_ids(&self, meta: &Metadata<'_>) -> bool {
        let part = meta.target().split("::").next().unwrap_or_default();
        meta.is_span()
            && *meta.level() <= tracing::Level::INFO
            && OURS.contains(&part)
            && self.0.max_level_hint() != Some(LevelFilter::OFF)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Gate {
    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        let interest = Layer::<S>::register_callsite(&self.0, meta);
        if self.names_ids(meta) {
            Interest::always()
        } else {
            interest
        }
    }

    fn enabled(&self, meta: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.names_ids(meta) || Layer::<S>::enabled(&self.0, meta, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match self.0.max_level_hint() {
            Some(LevelFilter::OFF) => Some(LevelFilter::OFF),
            Some(least) => Some(least.max(LevelFilter::INFO)),
            None => None,
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        Layer::<S>::on_record(&self.0, id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        Layer::<S>::on_event(&self.0, event, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        Layer::<S>::on_enter(&self.0, id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        Layer::<S>::on_exit(&self.0, id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        Layer::<S>::on_close(&self.0, id, context);
    }
}
