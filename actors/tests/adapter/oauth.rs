//! Tokens that are fetched for a service: when, how, and what is seen of them.

use std::{path::Path, sync::Arc};

use actors::{Config, adapter::Adapter};
use serde_json::{Value, json};

use crate::{
    stub::{Behaviour, Stub},
    support::{adapter, call, failed, run},
};

/// Set everywhere, and unlike anything that a reply holds by chance.
const VARIABLE: &str = "PATH";
const TOKEN: &str = "granted-token-1";

async fn endpoint(expires_in: u64) -> Stub {
    let body = json!({ "access_token": TOKEN, "token_type": "bearer", "expires_in": expires_in });
    Stub::json(200, &body).await
}

fn client(service: &Stub, endpoint: &Stub, secret: &str) -> Arc<dyn Adapter> {
    let mut config = Config::default();
    config.egress.allow = [service, endpoint]
        .map(|stub| format!("127.0.0.1:{}", stub.port))
        .to_vec();
    let auth = json!({
        "type": "oauth2_client_credentials", "scope": "read write",
        "token_url": format!("http://127.0.0.1:{}/token", endpoint.port),
        "client_id_env": VARIABLE, "client_secret_env": secret,
    });
    let agent = json!({
        "name": "http", "agent_type": "http", "config": { "auth_config": auth },
        "endpoint": format!("http://127.0.0.1:{}", service.port),
    });
    adapter(&config, Path::new("/nowhere"), &agent)
}

#[tokio::test]
async fn concurrent_calls_share_one_token_which_never_comes_back() {
    let service = Stub::json(200, &json!({ "echo": TOKEN })).await;
    let endpoint = endpoint(3600).await;
    let agent = client(&service, &endpoint, VARIABLE);
    let call = call(Value::Null);
    let answers = tokio::join!(run(&agent, &call), run(&agent, &call), run(&agent, &call));
    for answer in [answers.0, answers.1, answers.2, run(&agent, &call).await] {
        assert_eq!(answer, Ok(json!({ "echo": "[redacted]" })));
    }
    let [fetch] = &endpoint.requests()[..] else {
        panic!("not one fetch: {:?}", endpoint.requests());
    };
    let (head, body) = fetch.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_lowercase().contains("authorization: basic "),
        "{head}"
    );
    assert_eq!(body, "grant_type=client_credentials&scope=read+write");
    let shown = format!("authorization: bearer {TOKEN}\r\n");
    let seen = service.requests();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|it| it.to_lowercase().contains(&shown)));
}

#[tokio::test]
async fn an_expired_or_refused_token_is_replaced_at_the_next_call() {
    for (status, expires_in, code) in [(200, 0, None), (401, 3600, Some("http_status"))] {
        let service = Stub::json(status, &json!({ "error": null })).await;
        let endpoint = endpoint(expires_in).await;
        let agent = client(&service, &endpoint, VARIABLE);
        for fetches in 1..=2 {
            let answer = run(&agent, &call(Value::Null)).await;
            match code {
                Some(code) => assert_eq!(failed(answer), (code.to_owned(), true)),
                None => assert!(answer.is_ok(), "{answer:?}"),
            }
            assert_eq!(endpoint.requests().len(), fetches, "{status}");
        }
    }
}

#[tokio::test]
async fn a_missing_variable_is_named_before_anything_is_sent() {
    let (service, endpoint) = (Stub::json(200, &json!({})).await, endpoint(60).await);
    let agent = client(&service, &endpoint, "NO_SUCH_SECRET");
    let answer = run(&agent, &call(Value::Null)).await;
    assert!(format!("{answer:?}").contains("NO_SUCH_SECRET"));
    assert_eq!(failed(answer), ("auth".to_owned(), false));
    assert!(service.requests().is_empty() && endpoint.requests().is_empty());
}

#[tokio::test]
async fn a_failing_endpoint_fails_the_call_and_shows_no_secret() {
    let secret = std::env::var(VARIABLE).unwrap();
    let echo = json!({ "error": secret, "access_token": [secret] }).to_string();
    let location = "location: http://127.0.0.1/\r\n";
    for (behaviour, retryable) in [
        (Behaviour::Answer(503, "", echo.clone()), true),
        (Behaviour::Answer(401, "", echo.clone()), false),
        (Behaviour::Answer(200, "", echo.clone()), false),
        (Behaviour::Answer(302, location, echo), false),
        (Behaviour::HangUp, true),
        (Behaviour::Endless, false),
    ] {
        let service = Stub::json(200, &json!({})).await;
        let endpoint = Stub::new(behaviour.clone()).await;
        let agent = client(&service, &endpoint, VARIABLE);
        let answer = run(&agent, &call(Value::Null)).await;
        assert!(!format!("{answer:?}").contains(&secret), "{answer:?}");
        let expected = ("auth".to_owned(), retryable);
        assert_eq!(failed(answer), expected, "{behaviour:?}");
        assert!(service.requests().is_empty());
    }
}
