//! The HTTP contract: the bodies that clients send and receive.
//!
//! The CLI, the typed client and the Rust handle use these same types, so that what one prints is
//! what the other answers.

mod agent;
mod hold;
mod link;
mod live;
mod look;
mod page;
mod problem;
mod question;
mod schedule;
mod system;
mod task;
mod template;
mod tree;
mod trigger;
mod workflow;

pub use agent::{
    AgentLogLine, AgentQuery, AgentStats, AgentTotals, AgentUpdate, AgentView, DurationStats,
    HealthReport, StopRequest,
};
pub use hold::{
    AgentChange, CancelView, HoldChange, HoldRequest, HoldView, PauseRequest, Reach, ScopeRequest,
    ScopeTurn, ScopeView, TaskChange, Unconfirmed,
};
pub use link::{ActorLink, BudgetLeft, Relation};
pub use live::{
    EventView, EventsQuery, Happening, SocketFilter, SocketFrame, SocketTicket, WorkerChange,
    WorkerStatus,
};
pub use look::{ActorMessages, EntityState, HandledMessage};
pub use page::{Consistency, Page};
pub use problem::{FieldError, Problem};
pub use question::{AnswerRequest, DelegateRequest, QuestionQuery, QuestionSummary, QuestionView};
pub use schedule::{FiringState, FiringView, PauseReason, ScheduleQuery, ScheduleView};
pub use system::{
    Check, HealthView, LogRequest, LogView, MemberStatus, MemberView, NewToken, NodeView,
    StoreView, TokenRequest, TokenState, TokenView,
};
pub use task::{
    AllocationView, Assignment, AttemptView, CancelRequest, PlanView, Provenance, Remedy,
    ResultView, StepView, TaskPatch, TaskQuery, TaskSummary, TaskTree, TaskView, WhyStep, WhyView,
};
pub use template::{TemplateQuery, TemplateSummary, TemplateView};
pub use tree::{
    ActionRequest, ActionView, ActorAction, ActorView, Change, DiffQuery, EntityPart, FailureView,
    Life, LifeEvent, LifeGap, LifeQuery, Stale, TreeChange, TreeDelta, TreeDiff, TreeNode,
    TreeQuery, TreeView,
};
pub use trigger::{HookView, TriggerView};
pub use workflow::{
    CheckRequest, CheckView, ContextPatch, ContextView, DivergenceView, EdgeView, ExecuteRequest,
    ExecutionChange, ExecutionQuery, ExecutionStatus, ExecutionSummary, ExecutionView, ForkRequest,
    NodeRunView, ReplayRequest, ReplayView, RunOf, VersionView, WaitView, WorkflowChange,
    WorkflowDraft, WorkflowNode, WorkflowQuery, WorkflowReach, WorkflowSummary, WorkflowView,
};
