//! Speaks MCP: says which tools there are for a caller, and calls them.
//!
//! No session is kept, so that any node can answer any message, of both generations of the protocol.

use std::{convert::Infallible, fmt, sync::Arc};

use http::request::Parts;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes};
use protocol::{access::Caller, wire::Trace};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use runtime::trace::traced;
use serde_json::Value;

use super::tools::{self, Tool};
use crate::edge::{
    access::Verdict, answer::Answer, dispatch, problem::Refused, request::RequestId, shared::Shared,
};

/// How long a client may keep the list of tools: it changes with the version alone.
const FRESH_MS: u64 = 60_000;

/// Who asks, and whom.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Arc<Caller>,
    pub(super) id: RequestId,
    /// The library answers on a task of its own.
    pub(super) trace: Option<Trace>,
}

/// What takes the messages of MCP clients.
pub(crate) struct Server(StreamableHttpService<Operator, NeverSessionManager>);

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        // Names of hosts and origins were looked at before a request comes here.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_legacy_session_mode(false)
            .with_json_response(true);
        let sessions = Arc::new(NeverSessionManager::default());
        Self(StreamableHttpService::new(
            || Ok(Operator),
            sessions,
            config,
        ))
    }

    pub(super) async fn handle<B>(
        &self,
        request: http::Request<B>,
    ) -> http::Response<BoxBody<Bytes, Infallible>>
    where
        B: Body + Send + 'static,
        B::Error: fmt::Display,
    {
        self.0.handle(request).await
    }
}

/// The tools of an operator.
#[derive(Debug, Clone, Copy)]
struct Operator;

impl ServerHandler for Operator {
    fn get_info(&self) -> ServerConfig {
        let tools = ServerCapabilities::builder().enable_tools().build();
        let about = "Looks at a Troupe cluster: its actors, what became of them, what tasks wait for. \
                     Begin with get_supervision_tree; paths such as /tasks/ID lead to inspect_actor.";
        let mut info = ServerConfig::new(tools).with_instructions(about);
        info.server_info = Implementation::new("troupe", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let asker = asker(&context)?;
        let may = |tool: &&Tool| tool.access().judge(Some(&asker.caller)) == Verdict::Allowed;
        let tools = tools::all().filter(may).map(Tool::described).collect();
        let list = ListToolsResult::with_all_items(tools);
        Ok(list
            .with_ttl_ms(FRESH_MS)
            .with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let asker = asker(&context)?;
        let unknown =
            || ErrorData::invalid_params(format!("there is no tool {}", request.name), None);
        let tool = tools::all().find(|tool| tool.name == request.name);
        let tool = tool.ok_or_else(unknown)?;
        let called = call(asker, tool, request.arguments.unwrap_or_default()).await;
        let result = match called {
            Ok(told) => CallToolResult::structured(told),
            // What the caller can act on is for the model to read.
            Err(refused) => {
                let problem = refused.problem(asker.id.as_str());
                let problem = serde_json::to_value(problem).unwrap_or_default();
                CallToolResult::structured_error(problem)
            }
        };
        Ok(result.into())
    }
}

async fn call(
    asker: &Asker,
    tool: &Tool,
    arguments: serde_json::Map<String, Value>,
) -> Result<Value, Refused> {
    let (call, body) = tool.call(&asker.caller, &asker.id, arguments)?;
    let performed = dispatch::perform(Arc::clone(&asker.shared), Arc::new(call), body);
    match traced(asker.trace, performed).await? {
        Answer::Whole(whole) => serde_json::from_slice(whole.body()).map_err(|error| {
            tracing::error!(%error, tool = tool.name, "an answer is no JSON");
            Refused::bug()
        }),
        Answer::Streamed(_) => Err(Refused::bug()),
    }
}

/// Whoever sent the message: the request that brought it knows.
fn asker(context: &RequestContext<RoleServer>) -> Result<&Asker, ErrorData> {
    let parts = context.extensions.get::<Parts>();
    let asker = parts.and_then(|parts| parts.extensions.get::<Asker>());
    asker.ok_or_else(|| ErrorData::internal_error("a message came from nowhere", None))
}
