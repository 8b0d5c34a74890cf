//! What `node/deploy` holds, by the programs that it is for: Prometheus and its `promtool`.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "other processes live by the machine's clock"
)]
#![expect(clippy::print_stdout, reason = "what was seen belongs to the result")]

#[path = "support/pair.rs"]
mod pair;
#[path = "support/process.rs"]
mod process;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use pair::{joined, run};
use process::{Node, Place, Process, pause, until};
use serde_json::{Value, json};

const DASHBOARDS: [&str; 5] = ["overview", "cluster", "tasks", "actors", "store"];

/// How long a panel may stay empty in a cluster that works.
const FILLED: Duration = Duration::from_secs(60);

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Whether the program is there; where everything is to be checked, it has to be.
fn have(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{program} is missing: on Debian, `apt-get install prometheus`"
    );
    if !found {
        println!("SKIPPED: there is no {program}");
    }
    found
}

fn promtool(arguments: &[&str], directory: &Path) -> String {
    let ran = Command::new("promtool")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(ran.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn prometheus_takes_the_rules_and_the_configurations_and_each_alert_fires_when_it_is_to() {
    if !have("promtool") {
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    for file in [
        "prometheus.yml",
        "prometheus-three.yml",
        "alerts.yml",
        "alerts_test.yml",
    ] {
        fs::copy(deploy().join(file), copy.path().join(file)).unwrap();
    }
    fs::write(copy.path().join("troupe.token"), "x").unwrap();
    promtool(&["check", "rules", "alerts.yml"], copy.path());
    promtool(&["test", "rules", "alerts_test.yml"], copy.path());
    promtool(
        &["check", "config", "prometheus.yml", "prometheus-three.yml"],
        copy.path(),
    );
    let rules = fs::read_to_string(deploy().join("alerts.yml")).unwrap();
    let tests = fs::read_to_string(deploy().join("alerts_test.yml")).unwrap();
    for line in rules
        .lines()
        .filter_map(|line| line.split_once("- alert: "))
    {
        let tested = tests.matches(&format!("alertname: {}\n", line.1)).count();
        assert_eq!(tested, 2, "{} fires, and stays quiet", line.1);
    }
}

/// A Prometheus that scrapes nodes each second.
struct Prometheus {
    _process: Process,
    _folder: tempfile::TempDir,
    url: String,
    http: reqwest::Client,
}

impl Prometheus {
    async fn start(nodes: &[(&str, &Node)], token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let targets: Vec<String> = nodes
            .iter()
            .map(|(name, node)| {
                let url = fs::read_to_string(node.data.join("edge.url")).unwrap();
                let address = url.strip_prefix("http://").unwrap().to_owned();
                format!("      - targets: [\"{address}\"]\n        labels: {{ node: {name} }}\n")
            })
            .collect();
        // The one that is delivered, with other targets and less patience.
        let config = fs::read_to_string(deploy().join("prometheus.yml")).unwrap();
        let (head, _) = config.split_once("      - targets:").unwrap();
        let config = format!("{head}{}", targets.concat()).replace("interval: 15s", "interval: 1s");
        fs::write(at("prometheus.yml"), config).unwrap();
        fs::copy(deploy().join("alerts.yml"), at("alerts.yml")).unwrap();
        fs::write(at("troupe.token"), token).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let log = fs::File::create(at("log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self {
            _process: Process(process),
            url: format!("http://{address}/api/v1/query"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            _folder: folder,
        };
        until("it scrapes all nodes", FILLED, async || {
            let up = prometheus.ask("sum(up{job=\"troupe\"})").await;
            up.is_some_and(|values| values == [nodes.len().to_string()])
                .then_some(())
        })
        .await;
        prometheus
    }

    /// The values that an expression has now; nothing while it does not answer.
    async fn ask(&self, expression: &str) -> Option<Vec<String>> {
        let url = url::Url::parse_with_params(&self.url, [("query", expression)]).unwrap();
        let answer = self.http.get(url).send().await.ok()?;
        let answer: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let values = answer["data"]["result"].as_array()?.iter();
        Some(
            values
                .map(|value| value["value"][1].as_str().unwrap().to_owned())
                .collect(),
        )
    }

    /// Whether there is something to draw.
    async fn draws(&self, expression: &str) -> bool {
        let values = self.ask(expression).await.unwrap_or_default();
        values.iter().any(|value| value != "NaN")
    }
}

/// Every query of a dashboard, by its panel.
fn queries(dashboard: &str) -> Vec<(String, String)> {
    let path = deploy().join(format!("grafana/{dashboard}.json"));
    let read: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(read["uid"], format!("troupe-{dashboard}"));
    let panels = read["panels"].as_array().unwrap().iter();
    panels
        .flat_map(|panel| {
            let title = panel["title"].as_str().unwrap();
            let targets = panel["targets"].as_array().unwrap().iter();
            targets.map(move |target| {
                let expression = target["expr"].as_str().unwrap().to_owned();
                (format!("{dashboard}: {title}"), expression)
            })
        })
        .collect()
}

/// Names of our metrics in a text.
fn names(text: &str) -> Vec<String> {
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let names = text.split(word).filter(|word| {
        word.starts_with("troupe_") || ["queue_depth", "agent_health"].contains(word)
    });
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_panel_of_every_dashboard_draws_what_a_cluster_that_works_says() {
    if !have("prometheus") || !have("promtool") {
        return;
    }
    // A collector that is not there: spans are counted all the same.
    let telemetry = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:9\"\n";
    let places =
        ["a", "b"].map(|name| Place::new(&format!("[node]\nname = \"{name}\"\n{telemetry}")));
    let first = run(&places[0], &[]).await;
    let second = joined(&places[1], &first).await;
    for agent in [
        json!({"name": "echo", "agent_type": "echo"}),
        json!({"name": "far", "agent_type": "sleep", "config": {"for": "50ms"}, "placement": {"node": "b"}}),
        json!({"name": "fail", "agent_type": "fail"}),
    ] {
        first.client.register(&agent).await.unwrap();
    }
    let token = fs::read_to_string(first.data.join("admin.token")).unwrap();
    let prometheus = Prometheus::start(&[("a", &first), ("b", &second)], &token).await;
    let work = {
        let client = first.client.clone();
        tokio::spawn(async move {
            loop {
                for agent in ["echo", "far", "fail"] {
                    let steps =
                        json!([{"id": "one", "agent": agent, "retry": {"max_attempts": 1}}]);
                    let task = json!({"description": "work", "steps": steps});
                    let _ = client.post("/api/v1/tasks?wait=5s", &task).await;
                }
                pause(Duration::from_millis(200)).await;
            }
        })
    };
    let mut count = 0;
    for (panel, expression) in DASHBOARDS.iter().flat_map(|name| queries(name)) {
        until(&format!("{panel} draws {expression}"), FILLED, async || {
            prometheus.draws(&expression).await.then_some(())
        })
        .await;
        count += 1;
    }
    // What alerts look at is there, save what a failover alone makes.
    let rules = fs::read_to_string(deploy().join("alerts.yml")).unwrap();
    for name in names(&rules) {
        let known = prometheus.draws(&format!("count({name})")).await;
        assert!(known || name == "troupe_recovery_seconds_bucket", "{name}");
    }
    work.abort();
    println!(
        "{count} queries of {} dashboards have data",
        DASHBOARDS.len()
    );

    for node in [&first, &second] {
        // A connection that lay idle may be closed just when it is used again.
        let metrics = until("metrics are told", FILLED, async || {
            node.client.get("/metrics").await.ok()
        })
        .await;
        let text = metrics.body.as_str().unwrap();
        let mut check = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut check.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let checked = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "promtool finds fault: {said}");
        let operations = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        let operations = fs::read_to_string(operations).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(
                operations.contains(&format!("`{name}`")),
                "{name} is not explained"
            );
        }
    }
}
