//! Routes of what starts by itself: by the clock, after an event, after a webhook.

use protocol::{
    access::Role,
    api::{FiringView, HookView, Page, PauseReason, ScheduleView, TriggerView},
    schedule::ScheduleSpec,
    trigger::TriggerSpec,
};
use serde_json::Value;

use super::{
    Answers, Body, Content, LARGE, Operation, Parameter, Route, SMALL, Verb, form,
    row::{CURSOR, LIMIT, answer, ok, parameter},
};
use crate::edge::access::Access;

/// What the routes of schedules do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ScheduleOp {
    Create,
    List,
    Get,
    Change,
    Delete,
    Pause,
    Resume,
    Fire,
    Runs,
}

/// What the routes of triggers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TriggerOp {
    Create,
    List,
    Get,
    Change,
    Delete,
    Pause,
    Resume,
    Runs,
    Hook,
}

const fn route(method: Verb, path: &'static str, id: &'static str, operation: Operation) -> Route {
    Route {
        problems: &[404],
        ..Route::at(method, path, id, operation).changed_by(Role::Developer)
    }
}

const fn schedule(
    method: Verb,
    path: &'static str,
    id: &'static str,
    operation: ScheduleOp,
) -> Route {
    Route {
        answers: SCHEDULE,
        ..route(method, path, id, Operation::Schedule(operation))
    }
}

const fn trigger(
    method: Verb,
    path: &'static str,
    id: &'static str,
    operation: TriggerOp,
) -> Route {
    Route {
        answers: TRIGGER,
        ..route(method, path, id, Operation::Trigger(operation))
    }
}

const fn made(content: Content) -> Answers {
    let when = "It is made, and stands at the address in `Location`.";
    answer(201, content, when)
}

const SCHEDULE: &[Answers] = &[ok(Content::Json(form::<ScheduleView>), "The schedule.")];
const TRIGGER: &[Answers] = &[ok(Content::Json(form::<TriggerView>), "The trigger.")];
const GONE: &[Answers] = &[answer(
    204,
    Content::Empty,
    "It is gone; what it started goes on.",
)];
const RUNS: &[Answers] = &[ok(
    Content::Json(form::<Page<FiringView>>),
    "The last hundred, the newest first, all on one page.",
)];

const STATUS: Parameter = parameter::<String>(
    "status",
    "Only this status: `active`, `paused` or `finished`.",
);
const TRIGGER_STATUS: Parameter =
    parameter::<String>("status", "Only this status: `active` or `paused`.");

pub(super) static ROUTES: &[Route] = &[
    Route {
        summary: "Make a schedule",
        description: "Starts a task or a workflow at each slot: by `cron` in a time zone, every so often, or once at a moment. Each slot fires once in the whole cluster, also when the node that owns it dies then. Runs are started in the caller's name.",
        body: Body::Required(form::<ScheduleSpec>, LARGE),
        answers: &[made(Content::Json(form::<ScheduleView>))],
        problems: &[409],
        ..schedule(
            Verb::Post,
            "/api/v1/schedules",
            "createSchedule",
            ScheduleOp::Create,
        )
    },
    Route {
        summary: "List schedules",
        description: "The newest first; callers below operator see their own.",
        query: &[STATUS, LIMIT, CURSOR],
        answers: &[ok(
            Content::Json(form::<Page<ScheduleView>>),
            "A page of schedules.",
        )],
        problems: &[],
        ..schedule(
            Verb::Get,
            "/api/v1/schedules",
            "listSchedules",
            ScheduleOp::List,
        )
    },
    Route {
        summary: "One schedule",
        description: "With its next moment, and how many of its slots fired and passed.",
        ..schedule(
            Verb::Get,
            "/api/v1/schedules/{schedule}",
            "getSchedule",
            ScheduleOp::Get,
        )
    },
    Route {
        summary: "Change a schedule",
        description: "The whole of it, from now on; slots before this moment stay as they were decided.",
        body: Body::Required(form::<ScheduleSpec>, LARGE),
        problems: &[404, 409],
        ..schedule(
            Verb::Put,
            "/api/v1/schedules/{schedule}",
            "changeSchedule",
            ScheduleOp::Change,
        )
    },
    Route {
        summary: "Delete a schedule",
        description: "No slot of it fires any more.",
        answers: GONE,
        ..schedule(
            Verb::Delete,
            "/api/v1/schedules/{schedule}",
            "deleteSchedule",
            ScheduleOp::Delete,
        )
    },
    Route {
        summary: "Pause a schedule",
        description: "No slot fires until it is resumed, also after restarts; those of the meantime pass.",
        body: Body::Optional(form::<PauseReason>, SMALL),
        problems: &[404, 409],
        ..schedule(
            Verb::Post,
            "/api/v1/schedules/{schedule}/pause",
            "pauseSchedule",
            ScheduleOp::Pause,
        )
    },
    Route {
        summary: "Resume a schedule",
        description: "It fires again from its next slot on.",
        problems: &[404, 409],
        ..schedule(
            Verb::Post,
            "/api/v1/schedules/{schedule}/resume",
            "resumeSchedule",
            ScheduleOp::Resume,
        )
    },
    Route {
        summary: "Fire a schedule now",
        description: "Starts a run at once, whatever else runs and also while it is paused; its slots stay as they are.",
        answers: &[answer(
            202,
            Content::Json(form::<FiringView>),
            "The run is recorded and about to be there.",
        )],
        ..schedule(
            Verb::Post,
            "/api/v1/schedules/{schedule}/fire",
            "fireSchedule",
            ScheduleOp::Fire,
        )
    },
    Route {
        summary: "What a schedule started",
        description: "What became of its slots: which fired, why others passed, which run could not be started and when it is tried again, and how each run stands.",
        answers: RUNS,
        ..schedule(
            Verb::Get,
            "/api/v1/schedules/{schedule}/runs",
            "scheduleRuns",
            ScheduleOp::Runs,
        )
    },
    Route {
        summary: "Make a trigger",
        description: "Starts a task or a workflow once for each event that `filter` holds of, or for each signed delivery to its webhook. The target's `input` is a template over what happened. Runs are started in the caller's name.",
        body: Body::Required(form::<TriggerSpec>, LARGE),
        answers: &[made(Content::Json(form::<TriggerView>))],
        problems: &[409],
        ..trigger(
            Verb::Post,
            "/api/v1/triggers",
            "createTrigger",
            TriggerOp::Create,
        )
    },
    Route {
        summary: "List triggers",
        description: "The newest first; callers below operator see their own.",
        query: &[TRIGGER_STATUS, LIMIT, CURSOR],
        answers: &[ok(
            Content::Json(form::<Page<TriggerView>>),
            "A page of triggers.",
        )],
        problems: &[],
        ..trigger(
            Verb::Get,
            "/api/v1/triggers",
            "listTriggers",
            TriggerOp::List,
        )
    },
    Route {
        summary: "One trigger",
        description: "With the address of its webhook, and how many runs it started.",
        ..trigger(
            Verb::Get,
            "/api/v1/triggers/{trigger}",
            "getTrigger",
            TriggerOp::Get,
        )
    },
    Route {
        summary: "Change a trigger",
        description: "The whole of it, from now on.",
        body: Body::Required(form::<TriggerSpec>, LARGE),
        problems: &[404, 409],
        ..trigger(
            Verb::Put,
            "/api/v1/triggers/{trigger}",
            "changeTrigger",
            TriggerOp::Change,
        )
    },
    Route {
        summary: "Delete a trigger",
        description: "It starts nothing any more.",
        answers: GONE,
        ..trigger(
            Verb::Delete,
            "/api/v1/triggers/{trigger}",
            "deleteTrigger",
            TriggerOp::Delete,
        )
    },
    Route {
        summary: "Pause a trigger",
        description: "It starts nothing until it is resumed; what happens meanwhile is let pass.",
        body: Body::Optional(form::<PauseReason>, SMALL),
        ..trigger(
            Verb::Post,
            "/api/v1/triggers/{trigger}/pause",
            "pauseTrigger",
            TriggerOp::Pause,
        )
    },
    Route {
        summary: "Resume a trigger",
        description: "It starts again, from what happens now on.",
        ..trigger(
            Verb::Post,
            "/api/v1/triggers/{trigger}/resume",
            "resumeTrigger",
            TriggerOp::Resume,
        )
    },
    Route {
        summary: "What a trigger started",
        description: "For what, and how each run stands; also what it did not start, and why.",
        answers: RUNS,
        ..trigger(
            Verb::Get,
            "/api/v1/triggers/{trigger}/runs",
            "triggerRuns",
            TriggerOp::Runs,
        )
    },
    Route {
        access: Access::Open,
        summary: "Deliver a webhook",
        description: "Signed with HMAC-SHA256: by `webhook-id`, `webhook-timestamp` and `webhook-signature` after Standard Webhooks, or by `X-GitHub-Delivery` and `X-Hub-Signature-256`, as the trigger says. A delivery id starts one run, however often it comes. What is not signed as it should be is answered 401, whether or not there is such a trigger.",
        body: Body::Required(form::<Value>, LARGE),
        answers: &[answer(
            202,
            Content::Json(form::<HookView>),
            "It is believed; `run` tells what is started for it.",
        )],
        problems: &[401],
        ..trigger(
            Verb::Post,
            "/api/v1/hooks/{trigger}",
            "deliverHook",
            TriggerOp::Hook,
        )
    },
];
