//! However an attempt ends, nothing of it goes on.

use std::{env, fs, path::Path, process::Stdio, time::Duration};

use actors::{
    Config,
    adapter::{Call, CallError, command::sweep},
};
use runtime::{clock::Clock, membership::Fence};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    PROMPTLY, adapter, alive, assert_gone, call, config, eventually, fenced, lost, marker, run,
    shell,
};

/// Leaves children, grandchildren and daemons of every kind; ignores TERM.
fn unruly(marker: &str, at_last: &str) -> String {
    format!(
        "trap '' TERM HUP INT
         sleep {marker} &
         (sleep {marker} & sleep {marker}) &
         setsid -f sleep {marker}
         setsid sh -c 'trap \"\" TERM; cd /; sleep {marker} & env -i setsid sleep {marker} & wait' &
         setsid -f sh -c 'sleep {marker} & yes {marker}'
         touch started
         {at_last}"
    )
}

const FLOOD: &str = "while :; do echo flood; done";
/// Without a word: whoever writes notices that nobody reads any more.
const WAIT: &str = "while :; do wait; done";

/// Nothing is asked of a node without a runner but the usual: groups, and daemons with their
/// environment.
fn weak() -> Config {
    let mut config = config();
    config.command.runner = None;
    config
}

async fn started(data_dir: &Path, call: &Call) {
    let file = data_dir.join(format!("work/{}/one/1/started", call.task));
    eventually("the program starts", || file.exists()).await;
}

fn is_swept(data_dir: &Path) -> bool {
    fs::read_dir(data_dir.join("work")).is_ok_and(|mut entries| entries.next().is_none())
}

#[tokio::test]
async fn a_cancelled_program_is_gone_with_all_that_it_started() {
    for config in [config(), weak()] {
        let data = tempfile::tempdir().unwrap();
        let marker = marker();
        let agent = adapter(&config, data.path(), &shell(&unruly(&marker, FLOOD)));
        let (call, cancel) = (call(Value::Null), CancellationToken::new());
        let cancelling = async {
            started(data.path(), &call).await;
            eventually("all sleep", || alive(&marker).len() > 8).await;
            cancel.cancel();
            Instant::now()
        };
        let (answer, cancelled) = tokio::join!(agent.call(&call, &cancel), cancelling);
        let took = cancelled.elapsed();
        assert_eq!(answer, Err(CallError::Cancelled));
        assert_gone(&marker);
        assert!(took < PROMPTLY, "{took:?}");
        assert!(is_swept(data.path()));
    }
}

#[tokio::test]
async fn a_program_that_is_too_slow_is_gone_with_all_that_it_started() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    let mut agent = shell(&unruly(&marker, FLOOD));
    agent["config"]["timeout"] = json!("400ms");
    let agent = adapter(&config(), data.path(), &agent);
    assert_eq!(agent.timeout(), Some(Duration::from_millis(400)));
    let start = Instant::now();
    assert_eq!(lost(run(&agent, &call(Value::Null)).await), "timeout");
    let took = start.elapsed();
    assert_gone(&marker);
    assert!(took < PROMPTLY, "{took:?}");
}

#[tokio::test]
async fn daemons_do_not_outlive_a_program_that_ended_well() {
    for config in [config(), weak()] {
        let data = tempfile::tempdir().unwrap();
        let marker = marker();
        let script = format!("setsid -f sleep {marker}; sleep {marker} & echo done");
        let agent = adapter(&config, data.path(), &shell(&script));
        let output = run(&agent, &call(Value::Null)).await.unwrap();
        assert_eq!(output["stdout"], "done\n");
        assert_gone(&marker);
    }
}

#[tokio::test]
async fn dropping_a_call_stops_it() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    let agent = adapter(&config(), data.path(), &shell(&unruly(&marker, FLOOD)));
    let (call, cancel) = (call(Value::Null), CancellationToken::new());
    tokio::select! {
        answer = agent.call(&call, &cancel) => panic!("it never ends by itself: {answer:?}"),
        () = started(data.path(), &call) => {}
    }
    let took = eventually("all is gone", || {
        alive(&marker).is_empty() && is_swept(data.path())
    });
    assert!(took.await < PROMPTLY);
}

/// As of a node that stands still: it hears nothing, does nothing, and its connections stay open.
#[tokio::test]
async fn a_program_does_not_outlive_the_lease_of_a_node_that_renews_it_no_more() {
    let data = tempfile::tempdir().unwrap();
    let (marker, clock) = (marker(), Clock::system());
    let fence = Fence::closed(clock.clone());
    fence.extend(clock.boot() + Duration::from_secs(5));
    let agent = fenced(
        &config(),
        data.path(),
        &shell(&unruly(&marker, WAIT)),
        &fence,
    );
    let call = call(Value::Null);
    let answer = tokio::spawn(async move { run(&agent, &call).await });
    eventually("all sleep", || alive(&marker).len() > 8).await;
    eventually("all is gone", || alive(&marker).is_empty()).await;
    assert!(!fence.holds(), "it ended before its time");
    assert_eq!(lost(answer.await.unwrap()), "lease");
}

#[tokio::test]
async fn a_program_outlives_the_lease_that_it_began_under_when_that_is_renewed() {
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let fence = Fence::closed(clock.clone());
    let lease = Duration::from_secs(4);
    fence.extend(clock.boot() + lease);
    let agent = fenced(
        &config(),
        data.path(),
        &shell("read line; sleep 6; echo done"),
        &fence,
    );
    let call = call(Value::Null);
    let renewing = async {
        let mut renewal = tokio::time::interval(lease / 8);
        loop {
            renewal.tick().await;
            fence.extend(clock.boot() + lease);
        }
    };
    tokio::select! {
        answer = run(&agent, &call) => assert_eq!(answer.unwrap()["stdout"], "done\n"),
        () = renewing => {}
    }
}

#[test]
fn a_program_does_not_outlive_the_runtime_of_its_node() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    let agent = adapter(&config(), data.path(), &shell(&unruly(&marker, WAIT)));
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let node = runtime();
    node.spawn(async move { run(&agent, &call(Value::Null)).await });
    node.block_on(eventually("all sleep", || alive(&marker).len() > 8));
    node.shutdown_background();
    runtime().block_on(eventually("all is gone", || alive(&marker).is_empty()));
}

#[tokio::test]
async fn a_program_that_kills_or_stops_its_runner_gains_nothing() {
    for (signal, expected) in [("KILL", "runner"), ("STOP", "timeout")] {
        let data = tempfile::tempdir().unwrap();
        let marker = marker();
        let script = format!(
            "setsid -f sleep {marker}; sleep {marker} & kill -{signal} $PPID; sleep {marker}"
        );
        let mut agent = shell(&script);
        agent["config"]["timeout"] = json!("500ms");
        let agent = adapter(&config(), data.path(), &agent);
        assert_eq!(lost(run(&agent, &call(Value::Null)).await), expected);
        assert_gone(&marker);
    }
}

/// The kernel itself sends SIGHUP to a group with stopped processes whose parent, the node, ends.
#[tokio::test]
async fn a_runner_outlasts_signals_that_ask_it_to_end() {
    for signal in ["HUP", "INT", "QUIT", "TERM"] {
        let data = tempfile::tempdir().unwrap();
        let script = format!("kill -{signal} $PPID; echo done");
        let agent = adapter(&config(), data.path(), &shell(&script));
        let output = run(&agent, &call(Value::Null)).await;
        assert_eq!(output.unwrap()["stdout"], "done\n", "{signal}");
    }
}

#[tokio::test]
async fn a_storm_of_forks_is_calmed() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    // Each generation replaces itself under a new number, in a session of its own.
    let script = format!(
        "touch started
         cat > storm <<'END'
[ -e stop ] || {{ setsid -f sh ./storm {marker}; }}
END
         for i in 1 2 3 4 5 6 7 8; do setsid -f sh ./storm {marker}; done; sleep {marker}"
    );
    let agent = adapter(&config(), data.path(), &shell(&script));
    let (call, cancel) = (call(Value::Null), CancellationToken::new());
    let cancelling = async {
        started(data.path(), &call).await;
        eventually("a storm", || alive("./storm").len() > 3).await;
        cancel.cancel();
    };
    let (answer, ()) = tokio::join!(agent.call(&call, &cancel), cancelling);
    assert_eq!(answer, Err(CallError::Cancelled));
    assert_gone(&marker);
}

const NODE: &str = "ADAPTER_TEST_NODE";

/// Not a test by itself: another test runs this one in a process that it kills.
#[tokio::test]
async fn a_node_for_another_test() {
    let Ok(place) = env::var(NODE) else {
        return;
    };
    let (data_dir, marker) = place.split_once('|').unwrap();
    let mut config = config();
    if marker.starts_with("weak") {
        config.command.runner = None;
    }
    let agent = match marker.strip_prefix("lone") {
        Some(marker) => json!({
            "name": "sleep", "agent_type": "command", "config": { "argv": ["sleep", marker] }
        }),
        None => shell(&unruly(marker.trim_start_matches("weak"), WAIT)),
    };
    let agent = adapter(&config, Path::new(data_dir), &agent);
    let answer = run(&agent, &call(Value::Null)).await;
    panic!("it never ends by itself: {answer:?}");
}

fn start_a_node(data_dir: &Path, marker: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "command_ends::a_node_for_another_test"])
        .env(NODE, format!("{}|{marker}", data_dir.display()))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Runs a node with an unruly program, and kills it.
async fn kill_a_node(data_dir: &Path, marker: &str) {
    let mut node = start_a_node(data_dir, marker);
    let marker = marker.trim_start_matches("weak");
    // More than eight sleepers, and the node does not show the marker in its command line.
    eventually("all sleep", || alive(marker).len() > 8).await;
    node.kill().await.unwrap();
}

#[tokio::test]
async fn nothing_outlives_a_node_that_was_killed() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    kill_a_node(data.path(), &marker).await;
    let took = eventually("all is gone", || alive(&marker).is_empty()).await;
    assert!(took < PROMPTLY, "{took:?}");
    assert!(!is_swept(data.path()));
    sweep(data.path());
    assert!(!data.path().join("work").exists());
}

/// As by `pkill -9 troupe`. The node stands still first, so that it cannot do what a runner no more can.
#[tokio::test]
async fn a_program_does_not_outlive_a_node_and_a_runner_that_were_killed_at_one_time() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    let mut node = start_a_node(data.path(), &format!("lone{marker}"));
    eventually("the program runs", || !alive(&marker).is_empty()).await;
    let program = alive(&marker)[0];
    let stat = fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
    let runner = stat.rsplit(')').next().unwrap().split_whitespace().nth(1);
    signal(i32::try_from(node.id().unwrap()).unwrap(), Signal::STOP);
    signal(runner.unwrap().parse().unwrap(), Signal::KILL);
    node.kill().await.unwrap();
    eventually("all is gone", || alive(&marker).is_empty()).await;
}

fn signal(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn what_a_killed_node_without_a_runner_left_is_swept_at_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let marker = marker();
    kill_a_node(data.path(), &format!("weak{marker}")).await;
    assert!(!alive(&marker).is_empty());
    sweep(data.path());
    // One daemon has shed its environment and its directory; only a runner catches that one.
    eventually("most is gone", || alive(&marker).len() <= 1).await;
    for pid in alive(&marker) {
        signal(pid, Signal::KILL);
    }
    assert!(!data.path().join("work").exists());
}
