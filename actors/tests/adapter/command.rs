//! What a program is given, and what is made of what it says.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::{Value, json};

use crate::support::{adapter, answer, call, config, failed, lost, run, shell};

#[tokio::test]
async fn a_program_answers_its_output_and_its_files() {
    let data = tempfile::tempdir().unwrap();
    let script = "cat > artifacts/got; echo out; echo err >&2; cat needs/first.txt";
    let agent = adapter(&config(), data.path(), &shell(script));
    let mut call = call(json!({ "a": [1] }));
    call.task_input = json!({ "path": "." }).into();
    let first = json!({ "exit_code": 0, "stdout": "from first\n" });
    call.needs.insert("first".to_owned(), first.clone());

    let output = run(&agent, &call).await.unwrap();

    assert_eq!(output["exit_code"], 0);
    assert_eq!(output["stdout"], "out\nfrom first\n");
    assert_eq!(output["stderr"], "err\n");
    assert_eq!(output["truncated"], false);
    assert_eq!(output["artifacts"][0]["name"], "got");
    let kept = fs::read(output["artifacts"][0]["path"].as_str().unwrap()).unwrap();
    let expected = json!({
        "task": { "id": call.task, "description": "describe", "input": { "path": "." } },
        "step": { "id": "one", "attempt": 1, "idempotency_key": "key-1" },
        "input": { "a": [1] },
        "needs": { "first": first },
    });
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), expected);
    assert_eq!(fs::read_dir(data.path().join("work")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_program_sees_only_listed_variables_its_own_and_the_call() {
    let mut agent = shell("env | cut -d= -f1 | sort; echo $MINE $TROUPE_INPUT_PATH; pwd");
    agent["config"]["env"] = json!({ "MINE": "m" });
    agent["config"]["stdin"] = json!("none");
    let mut config = config();
    config.command.env = vec!["PATH".to_owned()];
    let mut call = call(json!({ "path": "a b" }));
    call.task_input = json!({ "path": "lost", "deep": {} }).into();
    let output = answer(&config, &agent, &call).await.unwrap();
    let mut lines: Vec<&str> = output["stdout"].as_str().unwrap().lines().collect();
    let directory = lines.pop().unwrap();
    assert!(directory.ends_with(&format!("work/{}/one/1", call.task)));
    // `PWD` and `_` are the shell's.
    lines.retain(|line| !["PWD", "_", "OLDPWD", "SHLVL"].contains(line));
    let expected = [
        "MINE",
        "PATH",
        "TROUPE_ATTEMPT",
        "TROUPE_DIR",
        "TROUPE_IDEMPOTENCY_KEY",
        "TROUPE_INPUT_PATH",
        "TROUPE_STEP",
        "TROUPE_TASK_ID",
        "m a b",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn nothing_in_an_input_is_ever_run() {
    let data = tempfile::tempdir().unwrap();
    let proof = data.path().join("proof");
    let proof = proof.to_str().unwrap();
    let agent = json!({ "name": "show", "agent_type": "command", "config": {
        "argv": ["/bin/sh", "-c", "cat; printf %s \"$TROUPE_INPUT_X\"; printf '%s|' \"$@\"", "sh",
            format!("; touch {proof}"), format!("$(touch {proof})"), "-oProxyCommand=x"] } });
    let agent = adapter(&config(), data.path(), &agent);
    for evil in [
        format!("; touch {proof}"),
        format!("$(touch {proof})"),
        format!("`touch {proof}`"),
        format!("-oProxyCommand=touch {proof}"),
        format!("x\ntouch {proof}\n"),
        format!("() {{ :; }}; touch {proof}"),
        "%s%n\u{1b}[2J".to_owned(),
    ] {
        let output = run(&agent, &call(json!({ "x": evil, evil.as_str(): 1 }))).await;
        let output = output.unwrap();
        assert!(output["stdout"].as_str().unwrap().contains(&evil), "{evil}");
        assert!(!fs::exists(proof).unwrap(), "{evil}");
    }
    let nul = failed(run(&agent, &call(json!({ "x": "a\0b" }))).await);
    assert_eq!(nul, ("input".to_owned(), false));
}

#[tokio::test]
async fn a_program_has_no_file_that_the_node_was_started_with() {
    let data = tempfile::tempdir().unwrap();
    let secret = fs::File::create(data.path().join("secret-of-the-node")).unwrap();
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    let agent = adapter(&config(), data.path(), &shell("ls -l /proc/self/fd; true"));
    let output = run(&agent, &call(Value::Null)).await.unwrap();
    let open = output["stdout"].as_str().unwrap();
    assert!(open.contains("pipe:"), "{open}");
    assert!(!open.contains("secret-of-the-node"), "{open}");
}

#[tokio::test]
async fn each_bad_end_has_its_code() {
    let data = tempfile::tempdir().unwrap();
    let unreadable = ["#!/no/such/interpreter\n", "echo for a shell\n"].map(|text| {
        let file = data.path().join(format!("script-{}", text.len()));
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    });
    let direct = |argv: Value| {
        json!({ "name": "x", "agent_type": "command",
        "config": { "argv": argv } })
    };
    let code = async |agent: Value| {
        failed(run(&adapter(&config(), data.path(), &agent), &call(Value::Null)).await)
    };
    let exit = code(shell("echo why >&2; exit 3")).await;
    assert_eq!(exit, ("exit_status".to_owned(), true));
    for missing in [
        json!(["no-such-program"]),
        json!(["/no/such/program"]),
        json!([unreadable[0]]),
        json!([unreadable[1]]),
    ] {
        let spawn = code(direct(missing)).await;
        assert_eq!(spawn, ("spawn".to_owned(), false));
    }
    let mut json_output = shell("echo no json");
    json_output["config"]["output"] = json!("json");
    let mapping = code(json_output).await;
    assert_eq!(mapping, ("response_mapping".to_owned(), false));
    let killed = adapter(&config(), data.path(), &shell("kill -9 $$"));
    assert_eq!(lost(run(&killed, &call(Value::Null)).await), "signal");
}

#[tokio::test]
async fn a_program_does_not_ignore_that_nobody_reads_it() {
    let data = tempfile::tempdir().unwrap();
    // The thirteenth bit is SIGPIPE's.
    let unset = "^SigIgn:.*[02468ace]...$";
    let agent = json!({ "name": "x", "agent_type": "command",
        "config": { "argv": ["grep", "-c", unset, "/proc/self/status"] } });
    let agent = adapter(&config(), data.path(), &agent);
    let output = run(&agent, &call(Value::Null)).await.unwrap();
    assert_eq!(output["stdout"], "1\n");
}

#[tokio::test]
async fn the_last_words_of_a_failure_are_in_its_message() {
    let data = tempfile::tempdir().unwrap();
    let script = "seq 1 100 >&2; exit 7";
    let agent = adapter(&config(), data.path(), &shell(script));
    let answer = format!("{:?}", run(&agent, &call(Value::Null)).await);
    assert!(
        answer.contains(r"status 7: 96\n97\n98\n99\n100"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_program_that_may_not_run_is_refused_at_registration() {
    use actors::adapter::{Doors, for_agent};
    use protocol::agent::AgentSpec;
    use serde::Deserialize;

    let mut config = config();
    config.command.allow = vec!["git".to_owned()];
    let doors = Doors::new(&config, "/nowhere", [].into());
    let spec = AgentSpec::deserialize(shell("true")).unwrap();
    let errors = for_agent(&spec, &doors).unwrap_err();
    assert_eq!(errors[0].field, "config.argv[0]");
    assert!(errors[0].message.contains("[command] allow"));
}

#[tokio::test]
async fn a_long_output_is_kept_as_a_file_and_a_flood_is_cut() {
    let data = tempfile::tempdir().unwrap();
    let agent = adapter(&config(), data.path(), &shell("yes | head -c 5000000"));
    let output = run(&agent, &call(Value::Null)).await.unwrap();
    assert_eq!(output["truncated"], true);
    assert_eq!(output["stdout"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(output["artifacts"][0]["name"], "stdout.txt");
    assert_eq!(output["artifacts"][0]["bytes"], 1024 * 1024);
}

#[tokio::test]
async fn an_input_that_nobody_reads_does_no_harm() {
    let data = tempfile::tempdir().unwrap();
    let agent = adapter(&config(), data.path(), &shell("exec 0<&-; echo done"));
    let big = call(json!({ "text": "x".repeat(3_000_000) }));
    assert_eq!(run(&agent, &big).await.unwrap()["stdout"], "done\n");
    let reader = adapter(&config(), data.path(), &shell("wc -c"));
    let output = run(&reader, &big).await.unwrap();
    let read: usize = output["stdout"].as_str().unwrap().trim().parse().unwrap();
    assert!(read > 3_000_000);
}

#[tokio::test]
async fn json_output_is_given_as_json() {
    let data = tempfile::tempdir().unwrap();
    let mut agent = shell("echo '{\"a\": [1, 2]}'");
    agent["config"]["output"] = json!("json");
    let agent = adapter(&config(), data.path(), &agent);
    let output = run(&agent, &call(Value::Null)).await.unwrap();
    assert_eq!(output["json"], json!({ "a": [1, 2] }));
    assert!(output.get("stdout").is_none());
}

#[tokio::test]
async fn limits_of_the_operator_bind_the_program() {
    let mut config = config();
    config.command.max_file = Some(4096);
    config.command.max_memory = Some(1 << 30);
    let script = "ulimit -c; ulimit -v; head -c 100000 /dev/zero > big; wc -c < big";
    let output = answer(&config, &shell(script), &call(Value::Null))
        .await
        .unwrap();
    assert_eq!(output["stdout"], "0\n1048576\n4096\n");
}

/// Not a byte may be written: it is the same as on a full disk.
#[tokio::test]
async fn how_a_program_ended_is_known_where_nothing_can_be_written() {
    let mut config = config();
    config.command.max_file = Some(0);
    let output = answer(&config, &shell("echo done"), &call(Value::Null)).await;
    assert_eq!(output.unwrap()["stdout"], "done\n");
    let failure = answer(&config, &shell("exit 3"), &call(Value::Null)).await;
    assert_eq!(failed(failure), ("exit_status".to_owned(), true));
}

#[tokio::test]
async fn a_program_cannot_become_another_user() {
    let data = tempfile::tempdir().unwrap();
    let agent = adapter(
        &config(),
        data.path(),
        &shell("grep NoNewPrivs /proc/self/status"),
    );
    let output = run(&agent, &call(Value::Null)).await.unwrap();
    assert_eq!(output["stdout"], "NoNewPrivs:\t1\n");
}

#[tokio::test]
async fn an_agent_can_run_in_a_directory_of_its_own() {
    let mut agent = shell("pwd; echo x > $TROUPE_DIR/artifacts/here");
    agent["config"]["workdir"] = json!("/usr");
    let output = answer(&config(), &agent, &call(Value::Null)).await.unwrap();
    assert_eq!(output["stdout"], "/usr\n");
    assert_eq!(output["artifacts"][0]["name"], "here");
    agent["config"]["workdir"] = json!("/no/such/place");
    let missing = answer(&config(), &agent, &call(Value::Null)).await;
    assert_eq!(failed(missing), ("spawn".to_owned(), false));
}

#[tokio::test]
async fn a_check_tells_whether_the_program_is_there() {
    let data = tempfile::tempdir().unwrap();
    let there = adapter(&config(), data.path(), &shell("true"));
    let moment = Duration::from_secs(1);
    assert!(there.check(moment).await.unwrap().contains("/bin/sh"));
    let agent =
        json!({ "name": "x", "agent_type": "command", "config": { "argv": ["gone-prog"] } });
    let gone = adapter(&config(), data.path(), &agent);
    assert!(gone.check(moment).await.unwrap_err().contains("gone-prog"));
}

#[tokio::test]
async fn what_a_program_says_that_it_took_is_reported_as_far_as_its_output_is_json() {
    let reply = json!({
        "type": "result", "result": "done", "total_cost_usd": 0.25,
        "usage": { "input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 2 },
    });
    let data = tempfile::tempdir().unwrap();
    for (output, end, cost) in [
        ("json", "", Some(250_000)),
        ("json", "; exit 1", Some(250_000)),
        ("text", "", None),
    ] {
        let mut agent = shell(&format!("echo '{reply}'{end}"));
        agent["config"]["output"] = json!(output);
        let adapter = adapter(&config(), data.path(), &agent);
        let call = call(Value::Null);
        assert_eq!(run(&adapter, &call).await.is_ok(), end.is_empty());
        let usage = call.spent.get();
        assert_eq!(usage.and_then(|it| it.cost_micros), cost, "{output}{end}");
        let tokens = usage.and_then(|it| it.input_tokens);
        assert_eq!(tokens, cost.map(|_| 10));
    }
    let mut agent = shell(r#"echo '{"meta": {"cost_micros": 7}}'"#);
    agent["config"]["output"] = json!("json");
    agent["config"]["usage_path"] = json!("$.meta");
    let call = call(Value::Null);
    answer(&config(), &agent, &call).await.unwrap();
    assert_eq!(call.spent.get().unwrap().cost_micros, Some(7));
}
