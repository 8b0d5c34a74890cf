//! Task templates over HTTP, and tasks that are made of them.

use serde_json::{Value, json};

use super::support::{Answer, Node};

const JSON: (&str, &str) = ("content-type", "application/json");
const TEMPLATES: &str = "/api/v1/task-templates";
const GREET: &str = "/api/v1/task-templates/greet";

async fn with_echo() -> Node {
    let node = Node::start().await;
    let agent = json!({"name": "echo", "agent_type": "echo"});
    let made = node.post("/api/v1/agents/register", agent).await;
    assert_eq!(made.status, 201, "{made:?}");
    node
}

fn greet() -> Value {
    json!({
        "name": "greet",
        "description": "Says hello",
        "params": [
            {"name": "who", "type": "string"},
            {"name": "times", "type": "integer", "default": 1},
            {"name": "agent", "default": "echo"},
        ],
        "task": {
            "description": "Greet ${params.who}",
            "steps": [{"id": "a", "agent": "${params.agent}", "input": {"say": "Hello ${params.who}", "times": "${params.times}"}}],
        },
    })
}

async fn with_template() -> Node {
    let node = with_echo().await;
    let made = node.post(TEMPLATES, greet()).await;
    assert_eq!((made.status, made.header("location")), (201, GREET));
    node
}

async fn put(node: &Node, path: &str, body: &Value) -> Answer {
    node.send("PUT", path, &[JSON], &body.to_string()).await
}

fn fields(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    let fields = errors.iter().map(|error| error["field"].as_str().unwrap());
    fields.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_template_lives_its_life_over_http() {
    let node = with_template().await;
    let again = node.post(TEMPLATES, greet()).await;
    assert_eq!(
        (again.status, again.problem().as_str()),
        (409, "name_taken")
    );
    let page = node.get(TEMPLATES).await.json();
    assert_eq!(page["items"][0]["name"], "greet");
    assert_eq!(page["items"][0]["required"], json!(["who"]));
    assert_eq!(page["items"][0].get("task"), None);
    let found = node.get(GREET).await.json();
    assert_eq!(
        (&found["task"], &found["version"]),
        (&greet()["task"], &json!(1))
    );
    let by_id = format!("{TEMPLATES}/{}", found["id"].as_str().unwrap());
    assert_eq!(node.get(&by_id).await.json(), found);

    let mut changed = greet();
    changed.as_object_mut().unwrap().remove("name");
    assert_eq!(put(&node, GREET, &changed).await.json()["version"], 1);
    changed["description"] = json!("Says it otherwise");
    let answer = put(&node, GREET, &changed).await;
    assert_eq!((answer.status, &answer.json()["version"]), (200, &json!(2)));
    changed["name"] = json!("another");
    let renamed = put(&node, GREET, &changed).await;
    assert_eq!((renamed.status, renamed.field().as_str()), (422, "name"));

    let strangers = [("authorization", "Bearer developer")];
    let refused = node.send("DELETE", GREET, &strangers, "").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let gone = node.send("DELETE", GREET, &[], "").await;
    assert_eq!((gone.status, node.get(GREET).await.status), (204, 404));
    let anew = node.post(TEMPLATES, greet()).await;
    assert_eq!(anew.status, 201, "its name is free: {anew:?}");
}

#[tokio::test]
async fn a_task_is_made_of_a_template() {
    let node = with_template().await;
    let body = json!({"template": "greet", "params": {"who": "Ada", "times": 2}, "priority": 7});
    let made = node.post("/api/v1/tasks?wait=30s", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let task = made.json();
    assert_eq!(task["description"], "Greet Ada");
    assert_eq!(
        (&task["status"], &task["priority"]),
        (&json!("completed"), &json!(7))
    );
    // The number came through as one.
    assert_eq!(task["result"]["times"], 2, "{task}");
    assert_eq!(task["result"]["say"], "Hello Ada", "{task}");
}

#[tokio::test]
async fn what_does_not_fill_a_template_is_named() {
    let node = with_template().await;
    for (body, named) in [
        (json!({"template": "greet"}), vec!["params.who"]),
        (
            json!({"template": "greet", "params": {"whom": "Ada", "times": "2"}}),
            vec!["params.whom", "params.who", "params.times"],
        ),
        (
            json!({"template": "great", "params": {"who": "Ada"}}),
            vec!["template"],
        ),
        (json!({"template": 7}), vec!["template"]),
        (json!({"template": "greet", "params": []}), vec!["params"]),
        (
            json!({"template": "greet", "params": {"who": "Ada"}, "steps": []}),
            vec!["steps"],
        ),
        (
            json!({"template": "greet", "params": {"who": "Ada"}, "priority": 77}),
            vec!["priority"],
        ),
        // What POST /tasks checks is named by the template's field.
        (
            json!({"template": "greet", "params": {"who": "Ada", "agent": "nobody"}}),
            vec!["task.steps[0].agent"],
        ),
        (
            json!({"template": "greet", "params": {"who": "Ada", "agent": 7}}),
            vec!["task.steps[0].agent"],
        ),
        (
            json!({"template": "greet", "params": {"who": "Ada"}, "description": ""}),
            vec!["description"],
        ),
    ] {
        let answer = node.post("/api/v1/tasks", body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(fields(&answer), named, "{body}: {answer:?}");
    }
    assert_eq!(node.get("/api/v1/tasks").await.json()["items"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_template_is_named() {
    let node = Node::start().await;
    for (body, named) in [
        (json!({"name": "A b", "task": {"description": "d"}}), "name"),
        (
            json!({"name": "x", "task": {"description": "${params.q}"}}),
            "task.description",
        ),
        (
            json!({"name": "x", "task": {"description": "d", "steps": [{"id": "a", "input": "${1 +}"}]}}),
            "task.steps[0].input",
        ),
        (
            json!({"name": "x", "task": {"descriptoin": "d"}}),
            "task.descriptoin",
        ),
        (json!({"name": "x"}), "task"),
    ] {
        let answer = node.post(TEMPLATES, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert_eq!(answer.field(), named, "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_repeat_finds_its_task_whatever_became_of_the_template() {
    let node = with_template().await;
    let headers = [JSON, ("idempotency-key", "k")];
    let body = json!({"template": "greet", "params": {"who": "Ada"}}).to_string();
    let first = node.send("POST", "/api/v1/tasks", &headers, &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(node.send("DELETE", GREET, &[], "").await.status, 204);
    let again = node.send("POST", "/api/v1/tasks", &headers, &body).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json()["id"], first.json()["id"]);
    let other = json!({"template": "greet", "params": {"who": "Bob"}}).to_string();
    let mismatch = node.send("POST", "/api/v1/tasks", &headers, &other).await;
    assert_eq!(mismatch.problem(), "idempotency_mismatch");
    assert_eq!(mismatch.field(), "Idempotency-Key");
}
