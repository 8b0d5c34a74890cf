//! One process of Troupe, the actor runtime for AI agents: to run by itself, or inside your service.
//!
//! [`Node`] starts everything on the tokio runtime that it finds: no runtime, signal handlers or log
//! subscriber of its own. [`Node::orchestrator`] is the one way in; HTTP, the command line and your
//! program all come through it.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use protocol::{agent::{AgentSpec, AgentType}, plan::StepSpec, task::TaskSpec};
//! use troupe::Node;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder()
//!     .data_dir("./troupe-data")
//!     .name("billing")
//!     .start()
//!     .await?;
//! let (troupe, me) = (node.orchestrator(), node.caller());
//!
//! // An agent: here a program of the machine; `AgentType::Native` calls Rust code of yours.
//! let agent: AgentSpec = serde_json::from_str(
//!     r#"{"name": "counter", "agent_type": "command", "config": {"argv": ["wc", "-w"]}}"#,
//! )?;
//! troupe.register_agent(&me, agent).await?;
//!
//! // A task: on disk before the call returns, so a crash loses nothing of it.
//! let step: StepSpec = serde_json::from_str(r#"{"id": "count", "agent": "counter", "input": "a b"}"#)?;
//! let spec = TaskSpec {
//!     description: "Count words".into(),
//!     steps: vec![step],
//!     ..TaskSpec::default()
//! };
//! let task = troupe
//!     .submit(&me, spec, None, Some(Duration::from_secs(10)))
//!     .await?
//!     .task;
//! println!("{}: {}", task.status.as_str(), task.result);
//!
//! node.stop(Duration::from_secs(30)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # In a cluster
//!
//! One call more lets others in, or joins them. A node that joins hosts agents, also those written in Rust
//! of this very program, and takes requests for the whole cluster.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use protocol::member::NodeRole;
//! use troupe::Node;
//!
//! # async fn example(clerk: Arc<dyn actors::adapter::Adapter>) -> Result<(), Box<dyn std::error::Error>> {
//! let first = Node::builder()
//!     .data_dir("./first")
//!     .mesh("127.0.0.1:0".parse()?)
//!     .start()
//!     .await?;
//! let token = first.join_token().await?; // or from `troupe token create`
//! let address = first.member().mesh.clone().unwrap_or_default();
//!
//! let second = Node::builder()
//!     .data_dir("./second")
//!     .name("billing")
//!     .roles([NodeRole::Worker, NodeRole::Edge])
//!     .mesh("127.0.0.1:0".parse()?)
//!     .join(address, Some(token))
//!     .native("clerk", clerk)
//!     .start()
//!     .await?;
//! # drop((first, second));
//! # Ok(())
//! # }
//! ```
//!
//! An agent of type `native` is to be registered with `"placement": {"node": "billing"}`: other programs do
//! not have the code. The next start of a node that joined needs no token. Two nodes of one process are
//! linked in memory. A [`Node`] that is dropped ends as by a crash; [`Node::stop`] hands over first.
//!
//! While it works, code in Rust asks other agents by name, wherever they are hosted:
//! [`actors::adapter::Adapter::call_among`] hands it its [`actors::adapter::Colleagues`].
//!
//! - [`Config`] is `cluster.toml`: every key, its default, and what must hold.
//! - [`client`] calls a node from elsewhere; [`job`] reads the files of `troupe run`.
//! - Feature `edge` serves HTTP, feature `cli` adds the command line; without both, only [`Node`] stays.

#![warn(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod client;
pub mod config;
#[cfg(feature = "edge")]
pub mod edge;
#[cfg(feature = "cli")]
pub mod job;
mod mesh;
pub mod node;
#[cfg(any(feature = "edge", feature = "otlp"))]
mod telemetry;

pub use config::Config;
pub use mesh::EnrolError;
pub use node::Node;
