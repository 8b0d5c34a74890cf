//! A collector that finds fault with everything that OTLP does not allow.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A span, as far as tests look at it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) instance: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) notes: Vec<String>,
    pub(crate) links: Vec<String>,
    pub(crate) failed: bool,
}

#[derive(Debug, Default)]
struct Found {
    spans: Vec<Seen>,
    complaints: Vec<String>,
    requests: usize,
    ids: HashSet<Vec<u8>>,
}

/// It also answers `/tool`, as an agent that says in which trace it was called.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    address: SocketAddr,
    found: Arc<Mutex<Found>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            found: Arc::default(),
        };
        let own = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sink = own.clone();
                tokio::spawn(async move { sink.serve(stream).await });
            }
        });
        sink
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn of(&self, trace: &str) -> Vec<Seen> {
        let found = self.found.lock().unwrap();
        let of = found.spans.iter().filter(|span| span.trace == trace);
        of.cloned().collect()
    }

    pub(crate) fn any(&self, name: &str) -> bool {
        let found = self.found.lock().unwrap();
        found.spans.iter().any(|span| span.name == name)
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.found.lock().unwrap().complaints.clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.found.lock().unwrap().requests
    }

    /// Requests of one connection, one after the other.
    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some((line, headers)) = head(&mut stream).await {
            let length = headers.get("content-length");
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let (kind, answer) = if line.contains("/tool") {
                let given = headers.get("traceparent").map_or("", String::as_str);
                (
                    "application/json",
                    format!("{{\"traceparent\": \"{given}\"}}"),
                )
            } else {
                self.take(&line, &headers, &body);
                ("application/x-protobuf", String::new())
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn take(&self, line: &str, headers: &BTreeMap<String, String>, body: &[u8]) {
        let mut found = self.found.lock().unwrap();
        found.requests += 1;
        let mut complain = |what: String| found.complaints.push(what);
        if !line.starts_with("POST /v1/traces ") {
            complain(format!("it came as {line}"));
        }
        if headers.get("content-type").map(String::as_str) != Some("application/x-protobuf") {
            complain(format!("its form is {:?}", headers.get("content-type")));
        }
        let request = match ExportTraceServiceRequest::decode(body) {
            Ok(request) => request,
            Err(error) => return complain(format!("it cannot be read: {error}")),
        };
        for resource in request.resource_spans {
            let of = resource.resource.map(|resource| resource.attributes);
            let of = texts(&of.unwrap_or_default(), &mut found.complaints);
            for key in ["service.name", "service.instance.id"] {
                if of.get(key).is_none_or(String::is_empty) {
                    found
                        .complaints
                        .push(format!("a resource has no {key}: {of:?}"));
                }
            }
            let instance = of.get("service.instance.id").cloned().unwrap_or_default();
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                found.look(span, &instance);
            }
        }
    }
}

impl Found {
    fn look(&mut self, span: Span, instance: &str) {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}: {span:?}"));
            }
        };
        require(is_id(&span.trace_id, 16), "no id of a trace");
        require(is_id(&span.span_id, 8), "no id of a span");
        require(
            span.parent_span_id.is_empty() || is_id(&span.parent_span_id, 8),
            "no id of a parent",
        );
        require(span.parent_span_id != span.span_id, "its own parent");
        require(self.ids.insert(span.span_id.clone()), "sent twice");
        require(!span.name.is_empty(), "no name");
        require(
            SpanKind::try_from(span.kind).is_ok_and(|kind| kind != SpanKind::Unspecified),
            "no kind",
        );
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        require(start > 0 && end >= start, "times in no order");
        require(
            start > 1_700_000_000_000_000_000,
            "a time before this program",
        );
        for event in &span.events {
            require(!event.name.is_empty(), "a note without a name");
            require(event.time_unix_nano > 0, "a note without a time");
        }
        for link in &span.links {
            require(
                is_id(&link.trace_id, 16) && is_id(&link.span_id, 8),
                "a link to nothing",
            );
        }
        let code = span.status.as_ref().map_or(0, |status| status.code);
        require(StatusCode::try_from(code).is_ok(), "no status");
        self.complaints.append(&mut wrong);
        let attributes = texts(&span.attributes, &mut self.complaints);
        self.spans.push(Seen {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            instance: instance.to_owned(),
            attributes,
            notes: span.events.into_iter().map(|event| event.name).collect(),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            failed: code == StatusCode::Error as i32,
        });
    }
}

/// The line and the headers of a request; nothing when the connection is over.
async fn head(stream: &mut BufReader<TcpStream>) -> Option<(String, BTreeMap<String, String>)> {
    let mut first = String::new();
    if stream.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None => return Some((first, headers)),
        }
    }
}

fn texts(all: &[KeyValue], complaints: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for pair in all {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        let text = match value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        if pair.key.is_empty() || value.is_none() || texts.insert(pair.key.clone(), text).is_some()
        {
            complaints.push(format!(
                "an attribute that is empty or given twice: {pair:?}"
            ));
        }
    }
    texts
}

fn is_id(bytes: &[u8], length: usize) -> bool {
    bytes.len() == length && bytes.iter().any(|byte| *byte != 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
