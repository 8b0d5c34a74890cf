//! `node/deploy/compose.yml` as far as it can be tried without containers: what it mounts is there, who
//! scrapes whom agrees, and nodes take the arguments that it gives them.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn yaml(file: &str) -> Value {
    let text = fs::read_to_string(deploy().join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The services by name, with what they take from others.
fn services() -> BTreeMap<String, Value> {
    let compose = yaml("compose.yml");
    let services = compose["services"].as_object().unwrap().clone();
    services.into_iter().collect()
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().unwrap().iter();
    all.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The arguments of a node, however they are written.
fn arguments(service: &Value) -> Vec<String> {
    let command = texts(&service["command"]);
    let words = match command.split_first() {
        Some((shell, rest)) if shell == "sh" => {
            let line = rest
                .last()
                .unwrap()
                .replace("\"$$(", "(")
                .replace(")\"", ")");
            let line = line
                .replace("(cat /join/node-2)", "t")
                .replace("(cat /join/node-3)", "t");
            line.split_whitespace().map(str::to_owned).collect()
        }
        Some(_) | None => command,
    };
    let start = words.iter().position(|word| word == "start").unwrap();
    words[start..].to_vec()
}

fn flag(arguments: &[String], name: &str) -> String {
    let at = arguments.iter().position(|word| word == name);
    arguments[at.unwrap_or_else(|| panic!("no {name} in {arguments:?}")) + 1].clone()
}

#[test]
fn what_is_mounted_is_there_or_is_a_volume() {
    let compose = yaml("compose.yml");
    let volumes: BTreeSet<String> = compose["volumes"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut used = BTreeSet::new();
    for (name, service) in services() {
        for mount in texts(&service["volumes"]) {
            let source = mount.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(deploy().join(source).exists(), "{name} mounts {source}");
            } else {
                assert!(volumes.contains(source), "{name} mounts {source}");
                used.insert(source.to_owned());
            }
        }
    }
    assert_eq!(used, volumes, "each volume is somebody's");
    let context = deploy().join(compose["x-node"]["build"]["context"].as_str().unwrap());
    let image = compose["x-node"]["build"]["dockerfile_inline"]
        .as_str()
        .unwrap();
    for line in image.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for source in words[..words.len() - 1]
            .iter()
            .filter(|word| !word.starts_with("--from"))
        {
            let found = source.starts_with('/') || context.join(source).exists();
            assert!(found, "the image copies {source}");
        }
    }
}

#[test]
fn only_what_watches_is_in_the_profile_and_everybody_listens_at_the_loopback_alone() {
    for (name, service) in services() {
        let watches = ["prometheus", "grafana"].contains(&name.as_str());
        let profiles = service.get("profiles").map(texts).unwrap_or_default();
        let expected: &[&str] = if watches { &["monitoring"] } else { &[] };
        assert_eq!(profiles, expected, "{name}");
        assert_eq!(service["network_mode"], "host", "{name}");
        assert!(service.get("ports").is_none(), "{name}");
    }
}

#[test]
fn nodes_take_their_arguments_and_share_no_address() {
    let services = services();
    let mut addresses = BTreeSet::new();
    for name in NODES {
        let arguments = arguments(&services[name]);
        assert_eq!(flag(&arguments, "--name"), name);
        for flag_of in ["--listen", "--mesh", "--metrics-addr"] {
            let address = flag(&arguments, flag_of);
            assert!(
                address.starts_with("127.0.0.1:"),
                "{name} {flag_of} {address}"
            );
            assert!(addresses.insert(address.clone()), "{address} twice");
        }
        if name != "node-1" {
            let first = self::arguments(&services["node-1"]);
            assert_eq!(flag(&arguments, "--join"), flag(&first, "--mesh"));
        }
        // What comes before `--help` is read first.
        let told = Command::new(env!("CARGO_BIN_EXE_troupe"))
            .args(&arguments)
            .arg("--help")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.success(), "{name}: {said}");
    }
}

#[test]
fn each_node_is_scraped_where_it_measures_and_grafana_asks_who_scrapes() {
    let services = services();
    let measured: BTreeMap<String, String> = NODES
        .map(|name| {
            let address = flag(&arguments(&services[name]), "--metrics-addr");
            (name.to_owned(), address)
        })
        .into();
    let prometheus = yaml("prometheus-compose.yml");
    let job = &prometheus["scrape_configs"][0];
    // Dashboards and alerts look for this one.
    assert_eq!(job["job_name"], "troupe");
    let scraped = job["static_configs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            let node = part["labels"]["node"].as_str().unwrap().to_owned();
            (node, texts(&part["targets"]).concat())
        });
    assert_eq!(scraped.collect::<BTreeMap<_, _>>(), measured);

    let source = yaml("grafana/provisioning/datasources/prometheus.yml");
    let url = source["datasources"][0]["url"].as_str().unwrap();
    let listens = texts(&services["prometheus"]["command"]);
    let listens = listens
        .iter()
        .find_map(|word| word.strip_prefix("--web.listen-address="));
    assert_eq!(url.strip_prefix("http://"), listens);
    let provider = yaml("grafana/provisioning/dashboards/troupe.yml");
    let path = provider["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    let mounts = texts(&services["grafana"]["volumes"]);
    assert!(
        mounts.contains(&format!("./grafana:{path}:ro")),
        "dashboards are mounted at {path}: {mounts:?}"
    );
}
