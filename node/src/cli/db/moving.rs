//! `troupe db move`: the whole store into another database, and the proof that it arrived.

use runtime::store::{self, Address, TransferError};
use serde_json::json;

use super::{
    super::{
        exit::{Exit, Failure, Outcome},
        output::Output,
    },
    chains, hold, unreadable,
};
use crate::{config::Config, node::store_address};

pub(super) async fn run(config: &Config, target: &Address, output: &Output) -> Outcome {
    let dir = hold(config)?;
    let source = store_address(config, dir.path())?;
    let progress = |table: &'static str, rows: u64| {
        tracing::debug!(table, rows, "copied");
    };
    let moved = store::transfer(&source, target, progress)
        .await
        .map_err(|error| refused(&error))?;
    let (sent, arrived) = (
        store::open(&source).await.map_err(unreadable)?,
        store::open(target).await.map_err(unreadable)?,
    );
    let (before, after) = (chains(&sent).await?, chains(&arrived).await?);
    sent.close().await.map_err(unreadable)?;
    arrived.close().await.map_err(unreadable)?;
    let (streams, records) = (after.streams(), after.records());
    let same = before.ends_like(&after);
    let faults = after.into_faults();
    if let Some(first) = faults.first() {
        return Err(Failure::new(Exit::Failed, "the copy is not whole")
            .because(first)
            .help("keep the source; `troupe db verify` tells whether it is whole itself"));
    }
    if !same {
        return Err(
            Failure::new(Exit::Failed, "the copy ends elsewhere than the source")
                .help("keep the source, and name an empty database"),
        );
    }
    store::retire(&source).await.map_err(unreadable)?;
    if output.is_for_programs() {
        let rows: serde_json::Map<_, _> = moved
            .rows
            .iter()
            .map(|(table, rows)| ((*table).to_owned(), json!(rows)))
            .collect();
        output.data(&json!({
            "to": target.to_string(), "streams": streams, "records": records, "rows": rows,
        }))?;
    }
    output.note(&format!(
        "{records} records in {streams} streams are in {target} and whole; set store.url to it: no node serves {source} any more"
    ));
    Ok(Exit::Ok)
}

/// Copies what can be copied while the node runs.
pub(super) async fn ahead(config: &Config, target: &Address, output: &Output) -> Outcome {
    let source = store_address(config, &config.node.data_dir)?;
    let progress = |table: &'static str, rows: u64| {
        tracing::debug!(table, rows, "copied");
    };
    let records = store::copy_ahead(&source, target, progress)
        .await
        .map_err(|error| refused(&error))?;
    if output.is_for_programs() {
        output.data(&json!({ "to": target.to_string(), "records": records, "ahead": true }))?;
    }
    output.note(&format!(
        "{records} records are in {target}; stop the node, and move the rest without --ahead"
    ));
    Ok(Exit::Ok)
}

fn refused(error: &TransferError) -> Failure {
    let (exit, help) = match error {
        TransferError::Store(store::Error::Unusable(_))
        | TransferError::Unopened(store::Error::Unusable(_)) => {
            (Exit::Failed, "mend what it names, or name another database")
        }
        // It says itself what to do, and nothing was begun that could be gone on with.
        TransferError::Unopened(_) => return Failure::new(Exit::Failed, error.to_string()),
        TransferError::Store(_) => (Exit::Failed, "run it again: it goes on where it stopped"),
        TransferError::Same => (Exit::Usage, "name another database"),
        TransferError::NoFolder(_) => {
            let help = "create it, or name a file in a folder that is there";
            return Failure::new(Exit::Usage, format!("--to: {error}")).help(help);
        }
        TransferError::InUse { nodes, .. } => {
            return Failure::new(Exit::Busy, error.to_string()).help(nodes.remedy());
        }
        TransferError::Shared(_) => (Exit::Busy, "stop the nodes first"),
        TransferError::Occupied(_) => (Exit::Conflict, "name an empty database"),
        TransferError::Retired(_) => (
            Exit::Conflict,
            "move that one; `troupe db reopen` makes this one count again",
        ),
        TransferError::Incomplete { .. } | TransferError::Crooked(_) => {
            (Exit::Failed, "keep the source, and name an empty database")
        }
    };
    Failure::new(exit, error.to_string()).help(help)
}
