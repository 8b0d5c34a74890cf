//! Attempts that take longer than is expected of them.

use std::time::Duration;

use actors::Config;
use protocol::{api::Life, time::Span};

use crate::support::{System, until};

#[tokio::test]
async fn an_attempt_that_hangs_is_named_with_its_step_and_its_age_and_so_is_what_it_works_for() {
    let mut config = Config::default();
    let moment = Span(Duration::from_millis(100));
    config.supervision.limits.insert("tool".to_owned(), moment);
    let system = System::start_with(&["coder"], config).await;
    system.native("coder", 1).await;
    let id = system.work("hang").await;
    system.tool("coder").is_called(1).await;
    let path = format!("/agents/coder/{id}:a:1");
    let stuck = until(async || {
        let actor = system.actor(&system.admin, &path, None).await.unwrap();
        let named = actor.life.iter().any(|turn| turn.what == Life::Stuck);
        (actor.row.state == "stuck" && named).then_some(actor)
    })
    .await;
    assert_eq!(stuck.row.current.as_deref(), Some("step a, attempt 1"));
    assert!(stuck.row.current_ms.unwrap() >= 100);
    // The watch looks every two and a half seconds.
    assert!(stuck.row.current_ms.unwrap() < 10_000);
    let told = stuck.life.iter().find(|turn| turn.what == Life::Stuck);
    let reason = told.unwrap().reason.clone().unwrap();
    assert!(
        reason.starts_with("step a, attempt 1 in hand for "),
        "{reason}"
    );
    assert_eq!(stuck.row.links[0].path, format!("/tasks/{id}"));
    system.tool("coder").release(1);
    system.completed(id).await;
    let gone = system.actor(&system.admin, &path, None).await.unwrap_err();
    assert_eq!(gone.code(), "not_found");
}
