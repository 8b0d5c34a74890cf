//! How a node, and what it runs, come to an end.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use protocol::task::{AttemptStatus, StepStatus, TaskStatus};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::process::{Client, PATIENCE, Place, kill, until};

/// Starts a child, an orphan, a daemon in a session of its own, and waits with them.
const FAMILY: &str = "sleep 1000 & (sleep 1000 &) ; setsid sh -c 'trap \"\" TERM; sleep 1000; :' & \
                      nohup sleep 1000 >/dev/null 2>&1 & wait";

/// Processes of [`FAMILY`], the shells among them included.
const MEMBERS: usize = 6;

fn program(name: &str, script: &str) -> Value {
    json!({
        "name": name, "agent_type": "command", "capabilities": [name],
        "config": { "argv": ["/bin/sh", "-c", script], "stdin": "none", "timeout": "20m" },
    })
}

fn one_step(agent: &str, effect: &str) -> Value {
    json!({
        "description": "one step", "steps": [{
            "id": "only", "agent": agent, "effect": effect,
            "retry": { "max_attempts": 3, "backoff": "20ms" },
        }],
    })
}

async fn start_family(place: &Place, client: &Client) -> String {
    client.register(&program("family", FAMILY)).await.unwrap();
    let task = client.submit(&one_step("family", "pure")).await;
    until("the whole family runs", PATIENCE, async || {
        (place.tools().len() >= MEMBERS).then_some(())
    })
    .await;
    task.id.to_string()
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_turned_away_and_the_first_unharmed() {
    let place = Place::new("");
    let node = place.start().await;
    let holder = node.child.0.id();
    let second = place
        .troupe(&["start", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&format!("process {holder}")), "{said}");

    node.client
        .register(&json!({ "name": "echo", "agent_type": "echo" }))
        .await
        .unwrap();
    let task = node.client.submit(&one_step("echo", "pure")).await;
    let task = node.client.settled(&task.id.to_string()).await;
    assert_eq!(task.status, TaskStatus::Completed);
}

#[tokio::test]
async fn cancelling_a_task_leaves_no_process_of_its_tool() {
    let place = Place::new("");
    let node = place.start().await;
    let id = start_family(&place, &node.client).await;
    let path = format!("/api/v1/tasks/{id}/cancel");
    let cancelled = node.client.post(&path, &json!({})).await.unwrap().task();
    assert_eq!(cancelled.status, TaskStatus::Cancelled);
    place.until_no_tool_is_left(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn killing_the_node_leaves_no_process_of_its_tools() {
    let place = Place::new("");
    let node = place.start().await;
    start_family(&place, &node.client).await;
    node.kill();
    place.until_no_tool_is_left(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_tool_that_is_killed_costs_its_attempt_and_nothing_else() {
    let place = Place::new("");
    let node = place.start().await;
    let first_hangs = "[ $TROUPE_ATTEMPT = 1 ] && exec sleep 1000; echo done";
    let client = &node.client;
    client
        .register(&program("hangs", first_hangs))
        .await
        .unwrap();
    client.register(&program("waits", "sleep 2")).await.unwrap();
    let hangs = client.submit(&one_step("hangs", "pure")).await;
    let once = client.submit(&one_step("hangs", "irreversible")).await;
    let waits = client.submit(&one_step("waits", "irreversible")).await;

    let sleepers = async || {
        let tools = place.tools().into_iter().filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001000\0")
        });
        let tools: Vec<i32> = tools.collect();
        (tools.len() == 2).then_some(tools)
    };
    for pid in until("both tools hang", PATIENCE, sleepers).await {
        kill(pid, Signal::KILL);
    }

    let attempts = async |id: String| {
        let task = client.settled(&id).await;
        let plan = task.plan.unwrap();
        let attempts = plan.steps[0].attempts.iter().map(|attempt| attempt.status);
        (plan.steps[0].status, attempts.collect::<Vec<_>>())
    };
    use AttemptStatus::{Failed, Lost, Succeeded};
    assert_eq!(
        attempts(hangs.id.to_string()).await,
        (StepStatus::Completed, vec![Failed, Succeeded])
    );
    assert_eq!(
        attempts(once.id.to_string()).await,
        (StepStatus::Unknown, vec![Lost])
    );
    assert_eq!(
        attempts(waits.id.to_string()).await,
        (StepStatus::Completed, vec![Succeeded])
    );
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_lets_attempts_end_and_begins_no_other() {
    let place = Place::new("");
    let node = place.start().await;
    node.client
        .register(&program("short", "sleep 1; echo done"))
        .await
        .unwrap();
    let step = |id: &str, needs: &[&str]| json!({ "id": id, "agent": "short", "effect": "irreversible", "needs": needs });
    let chain = json!({
        "description": "a chain",
        "steps": [step("one", &[]), step("two", &["one"]), step("three", &["two"])],
    });
    let id = node.client.submit(&chain).await.id.to_string();
    until("the first step runs", PATIENCE, async || {
        (!place.tools().is_empty()).then_some(())
    })
    .await;
    let status = node.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", place.log());
    assert!(!place.data().join("edge.url").exists());

    let node = place.start().await;
    let now = node.client.task(&id).await.plan.unwrap();
    assert_eq!(now.steps[0].status, StepStatus::Completed);
    assert_eq!(
        now.steps[2].attempts,
        [],
        "the chain went on while the node stopped"
    );
    let task = node.client.settled(&id).await;
    assert_eq!(task.status, TaskStatus::Completed, "{task:#?}");
    for step in task.plan.unwrap().steps {
        assert_eq!(step.attempts.len(), 1, "{step:?}");
    }
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_does_not_wait_for_a_stuck_attempt() {
    let place = Place::new("[node]\ngrace = \"1s\"\n");
    let node = place.start().await;
    let stuck =
        "[ $TROUPE_ATTEMPT = 1 ] || exec echo done\ntrap '' TERM INT HUP\nsleep 1000; sleep 1000";
    let client = &node.client;
    client.register(&program("stuck", stuck)).await.unwrap();
    let again = client.submit(&one_step("stuck", "pure")).await.id;
    let once = client.submit(&one_step("stuck", "irreversible")).await.id;
    until("both attempts run", PATIENCE, async || {
        (place.tools().len() >= 4).then_some(())
    })
    .await;
    let since = Instant::now();
    let status = node.terminate().await;
    let took = since.elapsed();
    assert_eq!(status.code(), Some(0), "{}", place.log());
    assert!(took >= Duration::from_secs(1), "no grace: {took:?}");
    assert!(took < Duration::from_secs(12), "it took {took:?}");
    assert!(place.tools().is_empty(), "its tools outlived it");

    let node = place.start().await;
    for (id, step, attempts) in [
        (
            again,
            StepStatus::Completed,
            vec![AttemptStatus::Cancelled, AttemptStatus::Succeeded],
        ),
        (once, StepStatus::Unknown, vec![AttemptStatus::Cancelled]),
    ] {
        // That it was ended is on disk before the node is gone.
        let task = node.client.settled(&id.to_string()).await;
        let now = &task.plan.as_ref().unwrap().steps[0];
        let ended = now.attempts.iter().map(|attempt| attempt.status);
        let ended: Vec<AttemptStatus> = ended.collect();
        assert_eq!((now.status, ended), (step, attempts), "{task:#?}");
    }
}

#[tokio::test]
async fn a_second_request_to_stop_ends_the_node_at_once() {
    let place = Place::new("");
    let mut node = place.start().await;
    start_family(&place, &node.client).await;
    node.child.signal(Signal::TERM);
    until("the node drains", PATIENCE, async || {
        let ready = node.client.get("/health/ready").await;
        ready
            .map_or(true, |answer| answer.status == 503)
            .then_some(())
    })
    .await;
    assert_eq!(node.child.0.try_wait().unwrap(), None, "{}", place.log());
    node.child.signal(Signal::TERM);
    let end = until("the node is gone", Duration::from_secs(2), async || {
        node.child.0.try_wait().unwrap()
    })
    .await;
    assert_eq!(end.code(), Some(130));
    place.until_no_tool_is_left(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_job_that_was_killed_is_resumed_without_repeating_a_completed_step() {
    let place = Place::new("");
    let repository = place.path("repository");
    let git = format!(
        "git init -q {0} && cd {0} && printf 'fn main() {{}} // TODO: more\\n' > main.rs && git add . && \
         git -c user.name=a -c user.email=a@b commit -qm first",
        repository.display()
    );
    let made = std::process::Command::new("sh").arg("-c").arg(git).status();
    assert!(made.unwrap().success());
    let job = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/repo_review.yaml");
    let path = format!("path={}", repository.display());
    let mut command = vec![
        "run",
        job,
        "--input",
        &path,
        "--input",
        "pause=0.5",
        "--listen",
        "127.0.0.1:0",
    ];

    let said = place.path("said");
    let file = fs::File::create(&said).unwrap();
    let mut run = place.troupe(&command);
    run.stdout(file.try_clone().unwrap()).stderr(file);
    let mut run = super::process::Process(run.spawn().unwrap());
    let completed = |text: &str| -> Vec<String> {
        let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let steps = words.filter_map(|words| match words[..] {
            [_, "step", step, "completed", ..] => Some(step.to_owned()),
            _ => None,
        });
        steps.collect()
    };
    until("some step is completed", PATIENCE, async || {
        assert_eq!(
            run.0.try_wait().unwrap(),
            None,
            "the job ended before it could be killed"
        );
        let text = fs::read_to_string(&said).unwrap();
        (!completed(&text).is_empty()).then_some(())
    })
    .await;
    run.0.kill().unwrap();
    run.0.wait().unwrap();
    let before = completed(&fs::read_to_string(&said).unwrap());
    assert!(!before.contains(&"report".to_owned()), "killed too late");

    command.extend(["--resume", "-o", "json"]);
    let resumed = place
        .troupe(&command)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success(), "{said}");
    let task: protocol::api::TaskView = serde_json::from_slice(&resumed.stdout).unwrap();
    assert_eq!(task.status, TaskStatus::Completed);
    for step in task.plan.unwrap().steps {
        assert_eq!(step.status, StepStatus::Completed, "{step:?}");
        let attempts = step.attempts.len();
        if before.contains(&step.id) {
            assert_eq!(attempts, 1, "{} was completed, and ran again", step.id);
        } else {
            assert!(attempts <= 2, "{step:?}");
        }
    }
}
