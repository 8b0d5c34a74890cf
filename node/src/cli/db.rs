//! `troupe db`: look after the database of a data directory.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use actors::orchestrator;
use clap::Subcommand;
use protocol::{api::StoreView, entity::EntityId};
use runtime::store::{self, Address, Living, Shared};
use serde_json::json;

use super::{
    Global,
    exit::{Exit, Failure, Outcome},
    output::Output,
};
use crate::{
    config::Config,
    node::{DataDir, DirError, store_address},
};

mod moving;
mod verify;

use verify::Chains;

#[derive(Debug, Subcommand)]
pub(super) enum Db {
    /// Show how much the database holds, of a running node or at rest
    Status,
    /// Print where the database lies
    Path,
    /// Write a copy; the node must not run
    Backup {
        /// The copy, which must not be there yet
        file: PathBuf,
    },
    /// Recompute the hash chain of every stream; the node must not run
    Verify,
    /// Make the index and all views again from the journal; the node must not run
    Rebuild,
    /// Copy everything into another, empty database; no node may use either
    ///
    /// A copy that was interrupted is gone on with. When it is done, point `store.url` at the copy: the
    /// store itself stays as it is, and no node serves it any more.
    Move {
        /// Where to: `sqlite:FILE` or `postgres://…`
        #[arg(long, value_name = "URL")]
        to: Address,
        /// Copy the journal of a SQLite store while its node runs, so that little is left to be moved
        /// when it is stopped
        #[arg(long)]
        ahead: bool,
    },
    /// Let nodes serve a database again that was moved into another one
    ///
    /// What was done since with the other one is not in it.
    Reopen,
    /// Put a parked task or agent back into service at the next start; the node must not run
    Release {
        /// Its id, `task_…` or `agent_…`
        id: EntityId,
    },
}

/// Records read at a time.
const BATCH: u32 = 1000;

impl Db {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        global.start_logging()?;
        let config = global.checked()?;
        match self {
            Self::Path => output.text(&match address(&config)? {
                Address::Sqlite(file) => format!("{}\n", file.display()),
                other @ Address::Postgres(_) => format!("{other}\n"),
            }),
            Self::Status => status(global, &config, output).await,
            Self::Backup { file } => backup(&config, &file, output).await,
            Self::Verify => verify(&config, output).await,
            Self::Rebuild => rebuild(&config, output).await,
            Self::Move { to, ahead: true } => moving::ahead(&config, &to, output).await,
            Self::Move { to, ahead: false } => moving::run(&config, &to, output).await,
            Self::Reopen => reopen(&config, output).await,
            Self::Release { id } => release(&config, id, output).await,
        }
    }
}

async fn status(global: &Global, config: &Config, output: &Output) -> Outcome {
    let view = if global.url.is_some() {
        global.client()?.store().await?
    } else {
        match open(config).await {
            Ok((_dir, store)) => {
                let census = store.census().await.map_err(unreadable)?;
                let view = StoreView {
                    engine: store.engine().to_owned(),
                    schema: census.schema,
                    streams: census.streams,
                    open: census.open,
                    records: census.records,
                    bytes: census.bytes,
                };
                store.close().await.map_err(unreadable)?;
                view
            }
            // A node runs there: it knows.
            Err(failure) if failure.exit == Exit::Busy => {
                global.find(None, &config.node.data_dir)?.store().await?
            }
            Err(failure) => return Err(failure),
        }
    };
    output.show(&view)
}

/// Where the database lies.
fn address(config: &Config) -> Result<Address, Failure> {
    Ok(store_address(config, &config.node.data_dir)?)
}

/// Keeps nodes of this machine from the database while the directory is held.
fn hold(config: &Config) -> Result<DataDir, Failure> {
    let path = &config.node.data_dir;
    if let Address::Sqlite(file) = address(config)?
        && !file.exists()
    {
        let message = format!("there is no database in {}", path.display());
        return Err(
            Failure::new(Exit::NotFound, message).help("name the directory with --data-dir")
        );
    }
    DataDir::lock(path).map_err(|error| match error {
        DirError::Locked { .. } => Failure::from(error).help("stop the node first"),
        DirError::Io { .. } => error.into(),
    })
}

/// The database, which a node of another machine may be using.
async fn open(config: &Config) -> Result<(DataDir, Shared), Failure> {
    let dir = hold(config)?;
    let store = store::open(&address(config)?).await.map_err(unreadable)?;
    Ok((dir, store))
}

/// The database at rest: no node anywhere uses it.
async fn open_alone(config: &Config) -> Result<(DataDir, Shared), Failure> {
    let (dir, store) = open(config).await?;
    let survey = store.survey().await.map_err(unreadable)?;
    let Some(nodes) = Living::of(&survey) else {
        return Ok((dir, store));
    };
    let message = format!("the database is in use by {nodes}");
    Err(Failure::new(Exit::Busy, message).help(nodes.remedy()))
}

async fn reopen(config: &Config, output: &Output) -> Outcome {
    let _dir = hold(config)?;
    let address = address(config)?;
    store::reopen(&address).await.map_err(unreadable)?;
    output.note(&format!("nodes serve {address} again"));
    Ok(Exit::Ok)
}

async fn backup(config: &Config, file: &Path, output: &Output) -> Outcome {
    if file.exists() {
        let message = format!("{} is there already", file.display());
        return Err(Failure::new(Exit::Conflict, message).help("name another file"));
    }
    let Address::Sqlite(source) = address(config)? else {
        return Err(Failure::new(
            Exit::Usage,
            "this database is not a file that can be copied",
        )
        .help("use pg_dump, or `troupe db move --to sqlite:FILE`"));
    };
    let (_dir, store) = open(config).await?;
    // Closing writes everything into the one file.
    store.close().await.map_err(unreadable)?;
    let mut log = source.clone().into_os_string();
    log.push("-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(Failure::new(
            Exit::Failed,
            "the database has changes beside its file; another program may hold it",
        )
        .help("stop what uses the file, then try again"));
    }
    let refused = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {}", file.display())).because(error)
    };
    let mut part = file.to_owned().into_os_string();
    part.push(".part");
    let bytes = fs::copy(&source, &part).map_err(refused)?;
    File::open(&part)
        .and_then(|copy| copy.sync_all())
        .and_then(|()| fs::rename(&part, file))
        .map_err(refused)?;
    output.note(&format!("{} bytes are in {}", bytes, file.display()));
    if output.is_for_programs() {
        return output.data(&json!({ "file": file, "bytes": bytes }));
    }
    Ok(Exit::Ok)
}

async fn verify(config: &Config, output: &Output) -> Outcome {
    let (_dir, store) = open(config).await?;
    let chains = chains(&store).await?;
    store.close().await.map_err(unreadable)?;
    let (streams, records) = (chains.streams(), chains.records());
    let faults = chains.into_faults();
    if output.is_for_programs() {
        output.data(&json!({ "streams": streams, "records": records, "faults": faults }))?;
    } else {
        for fault in &faults {
            output.text(&format!("{fault}\n"))?;
        }
    }
    if faults.is_empty() {
        output.note(&format!("{records} records in {streams} streams are whole"));
        Ok(Exit::Ok)
    } else {
        let message = format!(
            "{} of {streams} streams are not as they were written",
            faults.len()
        );
        Err(Failure::new(Exit::Failed, message).help("put a backup in place, and keep this file"))
    }
}

async fn rebuild(config: &Config, output: &Output) -> Outcome {
    let (_dir, store) = open_alone(config).await?;
    let rebuilt = orchestrator::rebuild(&store).await;
    let closed = store.close().await;
    let rebuilt = rebuilt.map_err(unreadable)?;
    closed.map_err(unreadable)?;
    if output.is_for_programs() {
        output.data(&json!({
            "streams": rebuilt.streams, "records": rebuilt.records, "views": rebuilt.views,
            "corrected": rebuilt.corrected, "missing": rebuilt.missing,
        }))?;
    }
    output.note(&format!(
        "{} of {} streams had a wrong row in the index; {} views were folded from {} records",
        rebuilt.corrected, rebuilt.streams, rebuilt.views, rebuilt.records
    ));
    if rebuilt.missing.is_empty() {
        return Ok(Exit::Ok);
    }
    let message = format!("{} streams have no row in the index", rebuilt.missing.len());
    Err(rebuilt.missing.iter().fold(
        Failure::new(Exit::Failed, message).help("put a backup in place, and keep this file"),
        |failure, stream| failure.because(stream),
    ))
}

async fn release(config: &Config, id: EntityId, output: &Output) -> Outcome {
    let (_dir, store) = open_alone(config).await?;
    let row = store.stream(id).await.map_err(unreadable)?;
    let outcome = match row.map(|row| row.parked) {
        None => Err(Failure::new(Exit::NotFound, format!("{id} was not found"))),
        Some(None) => Err(Failure::new(Exit::Conflict, format!("{id} is not parked"))),
        Some(Some(errors)) => store
            .park(id, None)
            .await
            .map_err(unreadable)
            .map(|()| errors),
    };
    store.close().await.map_err(unreadable)?;
    let errors = outcome?;
    output.note(&format!(
        "{id} goes on at the next start; it was parked after:\n{errors}"
    ));
    Ok(Exit::Ok)
}

/// Follows every stream of a store from its first record to its last.
async fn chains(store: &Shared) -> Result<Chains, Failure> {
    let mut chains = Chains::default();
    let mut after = 0;
    loop {
        let batch = store.journal(after, BATCH).await.map_err(unreadable)?;
        let Some((last, _)) = batch.last() else {
            return Ok(chains);
        };
        after = *last;
        for (_, record) in &batch {
            chains.check(record);
        }
    }
}

fn unreadable(error: store::Error) -> Failure {
    Failure::new(Exit::Failed, "the database cannot be read").because(error)
}
