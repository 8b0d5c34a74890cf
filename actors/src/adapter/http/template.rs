//! From a call to the request that it becomes, by a declared mapping.

use std::collections::BTreeMap;

use protocol::api::FieldError;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::{
    config::{Method, RequestMapping},
    path::Path,
};
use crate::adapter::Call;

/// Headers that the connection or the node sets, and one in which a secret would stand.
const RESERVED: [&str; 13] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-attempt",
    "x-task-id",
];

/// JSON with holes that a call fills.
#[derive(Debug, Clone, PartialEq)]
enum Template {
    Hole(Path),
    Literal(Value),
    List(Vec<Self>),
    Fields(BTreeMap<String, Self>),
}

impl Template {
    fn parse(value: &Value, field: &str, faults: &mut Vec<FieldError>) -> Self {
        match value {
            Value::String(text) if text == "$" || text.starts_with("$.") => {
                match Path::parse(text) {
                    Ok(path) => Self::Hole(path),
                    Err(fault) => {
                        faults.push(FieldError::new(field, fault));
                        Self::Literal(Value::Null)
                    }
                }
            }
            Value::Array(list) => {
                let items = list.iter().enumerate();
                let mut parse =
                    |(index, item)| Self::parse(item, &format!("{field}[{index}]"), faults);
                Self::List(items.map(&mut parse).collect())
            }
            Value::Object(fields) => {
                let mut parse = |(name, value): (&String, _)| {
                    let inner = Self::parse(value, &format!("{field}.{name}"), faults);
                    (name.clone(), inner)
                };
                Self::Fields(fields.iter().map(&mut parse).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Self::Literal(value.clone())
            }
        }
    }

    /// A hole whose path leads nowhere is filled with `null`.
    fn fill(&self, document: &Value) -> Value {
        match self {
            Self::Hole(path) => path.find(document).unwrap_or_default(),
            Self::Literal(value) => value.clone(),
            Self::List(items) => items.iter().map(|item| item.fill(document)).collect(),
            Self::Fields(fields) => {
                let fill = |(name, inner): (&String, &Self)| (name.clone(), inner.fill(document));
                Value::Object(fields.iter().map(fill).collect::<Map<_, _>>())
            }
        }
    }
}

/// How calls to one agent become requests.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestTemplate {
    method: Method,
    url: String,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Template>,
}

/// What is sent for a call, secrets aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its method.
    pub method: reqwest::Method,
    /// Where it goes.
    pub url: Url,
    /// All headers but those of the connection.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub body: Option<Value>,
}

impl RequestTemplate {
    /// Reads a mapping.
    ///
    /// # Errors
    ///
    /// What is wrong with it, by path.
    pub fn new(endpoint: &Url, mapping: &RequestMapping) -> Result<Self, Vec<FieldError>> {
        const FIELD: &str = "config.request_mapping";
        let mut faults = Vec::new();
        let mut headers = Vec::new();
        for (name, text) in &mapping.headers {
            let field = format!("{FIELD}.headers.{name}");
            let lower = name.to_ascii_lowercase();
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => faults.push(FieldError::new(field, "is not the name of a header")),
                Ok(_) if lower == "authorization" => {
                    faults.push(FieldError::new(
                        field,
                        "would store a secret; use auth_config",
                    ));
                }
                Ok(_) if RESERVED.contains(&lower.as_str()) => {
                    faults.push(FieldError::new(field, "is set by the node"));
                }
                Ok(header) => {
                    let template = Template::parse(&text.as_str().into(), &field, &mut faults);
                    headers.push((header, template));
                }
            }
        }
        let body = match (&mapping.body_mapping, mapping.method) {
            (Some(body), _) => {
                let field = format!("{FIELD}.body_mapping");
                Some(Template::parse(body, &field, &mut faults))
            }
            (None, Method::Post | Method::Put | Method::Patch) => {
                Some(Template::parse(&"$".into(), FIELD, &mut faults))
            }
            (None, Method::Get | Method::Delete) => None,
        };
        let url = join(endpoint, &mapping.path).unwrap_or_else(|fault| {
            faults.push(FieldError::new(format!("{FIELD}.path"), fault));
            String::new()
        });
        if faults.is_empty() {
            let method = mapping.method;
            Ok(Self {
                method,
                url,
                headers,
                body,
            })
        } else {
            Err(faults)
        }
    }

    /// The request for a call.
    ///
    /// # Errors
    ///
    /// Which part of the input fits into no request.
    pub fn fill(&self, call: &Call) -> Result<Request, String> {
        let document = call.document();
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            let text = match template.fill(&document) {
                Value::Null => continue,
                Value::String(text) => text,
                value @ (Value::Bool(_) | Value::Number(_)) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!("header `{name}` would not be one text"));
                }
            };
            let value = HeaderValue::from_str(&text)
                .map_err(|_| format!("header `{name}` would hold what a header cannot"))?;
            headers.push((name.clone(), value));
        }
        headers.extend(identity(call)?);
        let url = Url::parse(&named(&self.url, call)).map_err(|error| error.to_string())?;
        Ok(Request {
            method: self.method.into(),
            url,
            headers,
            body: self.body.as_ref().map(|body| body.fill(&document)),
        })
    }
}

/// By these a service knows a repeat.
fn identity(call: &Call) -> Result<[(HeaderName, HeaderValue); 3], String> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| "the idempotency key fits no header".to_owned())
    };
    Ok([
        (HeaderName::from_static("x-attempt"), call.attempt.into()),
        (
            HeaderName::from_static("idempotency-key"),
            value(&call.idempotency_key)?,
        ),
        (
            HeaderName::from_static("x-task-id"),
            value(&call.task.to_string())?,
        ),
    ])
}

/// Puts a path behind an endpoint; the host stays.
pub(super) fn join(endpoint: &Url, path: &str) -> Result<String, String> {
    if !path.is_empty() && !path.starts_with(['/', '?']) {
        return Err("must start with `/`".to_owned());
    }
    if !path.is_empty() && (endpoint.query().is_some() || endpoint.fragment().is_some()) {
        return Err("cannot stand behind an endpoint with `?` or `#`".to_owned());
    }
    let joined = match path {
        "" => endpoint.to_string(),
        path => format!("{}{path}", endpoint.as_str().trim_end_matches('/')),
    };
    let url = Url::parse(&joined).map_err(|error| error.to_string())?;
    if url.origin() == endpoint.origin() {
        Ok(joined)
    } else {
        Err("leads to another host".to_owned())
    }
}

/// Fills names in braces; their values cannot leave their segment of the path.
pub(super) fn named(url: &str, call: &Call) -> String {
    let values = [
        ("{task_id}", call.task.to_string()),
        ("{step_id}", call.step.clone()),
        ("{attempt}", call.attempt.to_string()),
        ("{idempotency_key}", call.idempotency_key.clone()),
    ];
    // `Url` writes braces of a path in this way.
    let url = url.replace("%7B", "{").replace("%7D", "}");
    values.into_iter().fold(url, |url, (name, value)| {
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        url.replace(name, &encoded)
    })
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::adapter::{http::config::api_request, tests::call};

    fn endpoint() -> Url {
        Url::parse("https://agent.test/v1/").unwrap()
    }

    fn template(mapping: &Value) -> Result<RequestTemplate, Vec<String>> {
        let mapping = RequestMapping::deserialize(mapping).unwrap();
        RequestTemplate::new(&endpoint(), &mapping)
            .map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        let found = request.headers.iter().find(|(it, _)| it == name)?;
        found.1.to_str().ok()
    }

    #[test]
    fn the_mapping_of_the_specification_gives_its_request() {
        let mapping = json!({
            "method": "POST",
            "path": "/endpoint",
            "headers": { "X-Source": "troupe", "X-Topic": "$.input.topic" },
            "body_mapping": {
                "prompt": "$.task.description",
                "options": { "depth": "$.input.depth", "model": "small", "n": [1, "$.step.attempt"] },
                "previous": "$.needs.first.text",
                "missing": "$.input.nothing",
                "price": "$5",
            },
        });
        let mut call = call(json!({ "topic": "rust", "depth": 3 }));
        call.needs
            .insert("first".to_owned(), json!({ "text": "so far" }));
        let request = template(&mapping).unwrap().fill(&call).unwrap();
        assert_eq!(request.method, reqwest::Method::POST);
        assert_eq!(request.url.as_str(), "https://agent.test/v1/endpoint");
        assert_eq!(header(&request, "x-source"), Some("troupe"));
        assert_eq!(header(&request, "x-topic"), Some("rust"));
        assert_eq!(header(&request, "x-attempt"), Some("1"));
        assert_eq!(header(&request, "idempotency-key"), Some("key"));
        let body = json!({
            "prompt": "describe",
            "options": { "depth": 3, "model": "small", "n": [1, 1] },
            "previous": "so far",
            "missing": null,
            "price": "$5",
        });
        assert_eq!(request.body, Some(body));
    }

    #[test]
    fn an_api_agent_gets_the_body_of_the_specification() {
        let template = RequestTemplate::new(&endpoint(), &api_request()).unwrap();
        let request = template.fill(&call(json!({ "x": 1 }))).unwrap();
        assert_eq!(request.url.path(), "/v1/process");
        let body = request.body.unwrap();
        let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["context", "data", "instructions", "task_type"]);
        assert_eq!(body["data"], json!({ "x": 1 }));
        assert_eq!(body["instructions"], "describe");
    }

    #[test]
    fn a_request_without_a_mapped_body_sends_the_call_or_nothing() {
        let call = call(json!(1));
        let post = template(&json!({})).unwrap().fill(&call).unwrap();
        assert_eq!(post.body, Some(call.document()));
        let get = template(&json!({ "method": "GET" })).unwrap();
        assert_eq!(get.fill(&call).unwrap().body, None);
    }

    #[test]
    fn what_is_wrong_with_a_mapping_is_named_by_its_path() {
        for (mapping, field) in [
            (json!({ "path": "endpoint" }), "path"),
            (json!({ "headers": { "a b": "" } }), "headers.a b"),
            (
                json!({ "headers": { "Authorization": "x" } }),
                "headers.Authorization",
            ),
            (json!({ "headers": { "Host": "x" } }), "headers.Host"),
            (json!({ "headers": { "X": "$.[" } }), "headers.X"),
            (
                json!({ "body_mapping": { "a": [0, "$..*..*"] } }),
                "body_mapping.a[1]",
            ),
        ] {
            let expected = vec![format!("config.request_mapping.{field}")];
            assert_eq!(template(&mapping), Err(expected), "{mapping}");
        }
    }

    #[test]
    fn no_input_leads_to_another_place_or_splits_a_header() {
        let mapping = json!({
            "path": "/x/{idempotency_key}?k={step_id}", "headers": { "X-In": "$.input.x" },
        });
        let template = template(&mapping).unwrap();
        let mut call = call(json!({ "x": "a" }));
        call.idempotency_key = "../../admin?x=1#".to_owned();
        let url = template.fill(&call).unwrap().url;
        let expected = "https://agent.test/v1/x/..%2F..%2Fadmin%3Fx%3D1%23?k=one";
        assert_eq!(url.as_str(), expected);
        call.input = json!({ "x": "a\r\nX-Evil: 1" });
        assert!(template.fill(&call).is_err());
        for path in ["//evil.test/x", "/\\evil.test", "/@evil.test/", "/../../x"] {
            let joined = join(&endpoint(), path).unwrap();
            let host = Url::parse(&joined).unwrap();
            assert_eq!(host.host_str(), Some("agent.test"), "{path}");
        }
    }
}
