//! What agents report to have taken of models.

use protocol::{api::Consistency, usage::Usage};
use serde_json::json;

use crate::support::{System, until, within};

fn usage(input: u64, output: u64, cost: Option<u64>) -> Usage {
    Usage {
        input_tokens: Some(input),
        output_tokens: Some(output),
        cost_micros: cost,
    }
}

#[tokio::test]
async fn what_agents_report_stands_with_their_attempts_and_is_summed_for_each() {
    let system = System::start(&["coder", "clerk"]).await;
    let mut ids = Vec::new();
    for name in ["coder", "coder", "clerk"] {
        if ids.len() != 1 {
            system.native(name, 1).await;
        }
        let steps = json!([{ "id": "a", "agent": name }]);
        let spec = json!({ "description": name, "steps": steps });
        ids.push(system.submit_task(spec).await);
        if name == "coder" {
            system.tool(name).is_called(ids.len()).await;
            let call = system.tool(name).calls().pop().unwrap();
            call.spent.add(usage(100, 10, Some(2_000)));
            call.spent.add(usage(1, 1, None));
        }
        system.tool(name).release(1);
        system.completed(*ids.last().unwrap()).await;
    }
    let reported = async |id| system.attempts(&system.admin, id).await.unwrap()[0].usage;
    assert_eq!(reported(ids[0]).await, Some(usage(101, 11, Some(2_000))));
    assert_eq!(reported(ids[2]).await, None);
    let stats = until(async || {
        let stats = system
            .agent_stats(&system.admin, Consistency::Eventual)
            .await
            .unwrap();
        (stats.succeeded == 3).then_some(stats)
    })
    .await;
    assert_eq!((stats.tokens, stats.cost_micros), (224, 4_000));
    let of = |name: &str| (stats.agents[name].tokens, stats.agents[name].cost_micros);
    assert_eq!(of("coder"), (224, 4_000));
    assert_eq!(of("clerk"), (0, 0));
}

#[tokio::test]
async fn an_attempt_that_is_cancelled_took_what_it_reported_all_the_same() {
    let system = System::start(&["coder"]).await;
    system.native("coder", 1).await;
    let id = system.work("stop me").await;
    system.tool("coder").is_called(1).await;
    let call = system.tool("coder").calls().pop().unwrap();
    call.spent.add(usage(7, 1, None));
    let cancelled = system.cancel_task(&system.admin, id, String::new());
    within(cancelled).await.unwrap();
    let stats = until(async || {
        let stats = system
            .agent_stats(&system.admin, Consistency::Eventual)
            .await
            .unwrap();
        (stats.tokens > 0).then_some(stats)
    })
    .await;
    assert_eq!((stats.tokens, stats.succeeded, stats.failed), (8, 0, 0));
}
