//! A plan from a description: rules match its words to what agents can do.
//!
//! The task names no steps. `then` separates what follows one another, `and` what may run side by
//! side. The planner guesses nothing: what no agent offers is refused. Prints the plan and a refusal:
//!
//! ```text
//! research by researcher after []
//! write by writer after ["research"]
//! refused: ...
//! ```

#![expect(clippy::print_stdout, reason = "a program shows what it does")]

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use protocol::{
    plan::PlanSource,
    task::{TaskSpec, TaskStatus},
};
use serde_json::json;
use troupe::Node;

fn ask(description: &str) -> TaskSpec {
    TaskSpec {
        description: description.to_owned(),
        ..TaskSpec::default()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let builder = Node::builder().data_dir(folder.path()).without_edge();
    let node = builder.start().await?;
    let (troupe, me) = (node.orchestrator(), node.caller());
    for (name, capability) in [("researcher", "research"), ("writer", "write")] {
        let agent = json!({"name": name, "agent_type": "echo", "capabilities": [capability]});
        let agent = serde_json::from_value(agent)?;
        troupe.register_agent(&me, agent).await?;
    }

    let spec = ask("Research how otters sleep, then write a paragraph about it");
    let wait = Some(Duration::from_secs(10));
    let task = troupe.submit(&me, spec, None, wait).await?.task;
    let plan = task.plan.context("no plan")?;
    for step in &plan.steps {
        let agent = step.agent.as_deref().unwrap_or("nobody");
        println!("{} by {agent} after {:?}", step.id, step.needs);
    }

    match troupe.submit(&me, ask("Paint the fence"), None, None).await {
        Ok(_) => bail!("a task that nobody can do was taken"),
        Err(refused) => println!("refused: {refused}"),
    }
    node.stop(Duration::from_secs(5)).await;
    ensure!(task.status == TaskStatus::Completed && plan.source == PlanSource::Rules);
    ensure!(plan.steps.len() == 2 && plan.steps[1].needs == [plan.steps[0].id.clone()]);
    Ok(())
}
