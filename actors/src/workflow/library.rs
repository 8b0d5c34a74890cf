//! Versions of definitions, ready for use, by workflow and number.

mod handle;

use std::sync::Arc;

use protocol::workflow::Definition;

use super::{
    graph::{Fault, Graph},
    input::Input,
};

pub(crate) use handle::{Library, NewRun, Starting, Starts};

/// One version of a workflow, which never changes.
#[derive(Debug)]
pub(crate) struct Edition {
    /// What it says.
    pub(crate) definition: Arc<Definition>,
    /// The same, compiled.
    pub(crate) graph: Arc<Graph>,
    /// What its runs take.
    pub(crate) input: Input,
}

impl Edition {
    fn new(definition: Arc<Definition>) -> Result<Self, Fault> {
        let graph = Arc::new(Graph::compile(&definition)?);
        // Nothing is published with a schema that is none.
        let input = Input::compile(definition.input.as_ref()).unwrap_or_default();
        Ok(Self {
            definition,
            graph,
            input,
        })
    }
}
