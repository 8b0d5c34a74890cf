//! Handlers of the tree of actors.

use protocol::{
    api::{ActionRequest, DiffQuery, LifeQuery, TreeQuery},
    time::Timestamp,
};
use tokio::time::sleep;

use super::{
    answer::Answer,
    body, live,
    problem::Refused,
    request::{Call, LAST_EVENT_ID},
    shared::Shared,
    table::TreeOp,
};

/// Rows of the longest page.
const LARGEST_PAGE: u32 = 10_000;

pub(super) async fn handle(
    operation: TreeOp,
    shared: &Shared,
    call: &Call,
    bytes: &[u8],
) -> Result<Answer, Refused> {
    let orchestrator = &shared.orchestrator;
    let (caller, query) = (call.caller()?, &call.query);
    let text = |name: &str| query.text(name).map(str::to_owned);
    // All that is asked of a page stands in its query.
    let wrong = |rejection| Refused::from(rejection).in_query();
    let broken = |rejection| wrong(rejection).called("cursor", LAST_EVENT_ID);
    match operation {
        TreeOp::Show => {
            let asked = TreeQuery {
                path: text("path"),
                depth: query.get("depth")?,
                node: query.node()?.map(str::to_owned),
                at: moment(call, "at")?,
                after: text("after"),
                limit: limit(call)?,
            };
            let tree = orchestrator.tree(caller, &asked).await;
            Answer::json(&tree.map_err(wrong)?)
        }
        TreeOp::Diff => {
            let asked = DiffQuery {
                path: text("path"),
                node: query.node()?.map(str::to_owned),
                from: moment(call, "from")?,
                to: moment(call, "to")?,
            };
            let diff = orchestrator.tree_diff(caller, &asked).await;
            Answer::json(&diff.map_err(wrong)?)
        }
        TreeOp::Stream => {
            let feed = orchestrator.follow_tree(caller, query.text("path"), call.cut_off()?);
            Ok(live::feed(
                shared,
                call,
                "delta",
                feed.await.map_err(broken)?,
            ))
        }
        TreeOp::Actor => {
            let (path, node) = (call.part(0)?, query.node()?);
            let actor = orchestrator.actor(caller, path, node).await;
            Answer::json(&actor.map_err(wrong)?)
        }
        TreeOp::Messages => {
            let (path, node) = (call.part(0)?, query.node()?);
            let told = async || {
                orchestrator
                    .actor_messages(caller, path, node)
                    .await
                    .map_err(wrong)
            };
            let messages = match call.wait()? {
                None => told().await?,
                Some(wait) => {
                    // From now on they are kept.
                    told().await?;
                    sleep(wait).await;
                    told().await?
                }
            };
            Answer::json(&messages)
        }
        TreeOp::State => {
            let path = call.part(0)?;
            let state = orchestrator.entity_state(caller, path, query.get("at")?);
            Answer::json(&state.await.map_err(wrong)?)
        }
        TreeOp::Act(action) => {
            let ActionRequest { reason } = body::parse_or_default(bytes)?;
            let (path, node) = (call.part(0)?, query.node()?);
            let done = orchestrator.act_on_actor(caller, path, node, action, reason);
            Answer::json(&done.await?)
        }
        TreeOp::Life => {
            let asked = LifeQuery {
                path: text("path"),
                kind: text("kind"),
                node: query.node()?.map(str::to_owned),
                from: moment(call, "from")?,
                to: moment(call, "to")?,
                limit: limit(call)?,
            };
            let life = orchestrator.life(caller, &asked).await;
            Answer::json(&life.map_err(wrong)?)
        }
        TreeOp::LifeStream => {
            let asked = LifeQuery {
                path: text("path"),
                kind: text("kind"),
                from: moment(call, "from")?,
                limit: limit(call)?,
                ..LifeQuery::default()
            };
            let feed = orchestrator.follow_life(caller, &asked, call.cut_off()?);
            Ok(live::lives(shared, call, feed.await.map_err(broken)?))
        }
    }
}

fn moment(call: &Call, name: &str) -> Result<Option<Timestamp>, Refused> {
    call.query.get(name)
}

fn limit(call: &Call) -> Result<Option<u32>, Refused> {
    call.query.within("limit", &(1..=LARGEST_PAGE))
}
