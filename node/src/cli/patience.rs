//! What a start does while what it needs is away: database or control nodes.

use std::{path::Path, pin::pin, time::Duration};

use runtime::{
    clock::Dice,
    supervision::{Backoff, Streak},
};

use crate::{
    mesh::Papers,
    node::{Node, StartError},
};

/// Starts a node with `start`, again and again while what is in the way passes by itself; no node when
/// `stop` comes first. A node that has never been what it wants to be fails at once instead: its
/// address is wrong more often than its database is down.
pub(super) async fn outlast<Starting>(
    start: impl Fn() -> Starting,
    data_dir: &Path,
    stop: impl Future<Output = ()>,
) -> Result<Option<Node>, StartError>
where
    Starting: Future<Output = Result<Node, StartError>>,
{
    let (mut stop, mut streak, mut said) = (pin!(stop), Streak::default(), String::new());
    let mut started = start().await;
    loop {
        match started {
            Err(error) if error.passes() && was_there(&error, data_dir) => {
                let line = error.to_string();
                // Said once, and again when it changes.
                if line != said {
                    tracing::warn!("not started yet, and trying on: {line}");
                    said = line;
                }
            }
            ended => return ended.map(Some),
        }
        let wait = streak.fail(
            &Backoff::INFRASTRUCTURE,
            Duration::ZERO,
            Dice::system().unit(),
        );
        let again = async {
            tokio::time::sleep(wait).await;
            start().await
        };
        started = tokio::select! {
            () = &mut stop => return Ok(None),
            started = again => started,
        };
    }
}

/// Whether this node has had what it misses now.
fn was_there(error: &StartError, data_dir: &Path) -> bool {
    !matches!(error, StartError::Store(_)) || Papers::name_a_server(data_dir)
}
