//! `cluster.toml` equals the defaults; `config check` names the line of what is wrong.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path, process::Command};

use troupe::Config;

fn documented() -> (String, Config) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster.toml");
    let text = fs::read_to_string(&path).unwrap();
    let config = Config::parse(&text, &path).unwrap();
    (text, config)
}

#[test]
fn the_documented_file_says_the_defaults() {
    assert_eq!(documented().1, Config::default());
}

#[test]
fn the_documented_file_has_every_key_with_a_comment() {
    let (text, _) = documented();
    let written: toml::Table = toml::from_str(&text).unwrap();
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for (section, keys) in &defaults {
        let found = written[section].as_table().unwrap();
        for (key, _) in keys.as_table().unwrap() {
            assert!(found.contains_key(key), "{section}.{key} is not documented");
        }
    }
}

/// Keys without a default stand in the file as comments, and are keys.
#[test]
fn optional_keys_are_documented_as_comments() {
    let (text, _) = documented();
    for (commented, line) in [
        ("# url = ", "[store]\nurl = \"sqlite:x\""),
        (
            "# tls = ",
            "[edge]\ntls = { cert = \"c.pem\", key = \"k.pem\" }",
        ),
        ("# tokens = ", "[edge]\ntokens = []"),
        ("# max_processes = ", "[command]\nmax_processes = 1"),
        ("# max_memory = ", "[command]\nmax_memory = 1"),
        ("# max_file = ", "[command]\nmax_file = 1"),
        ("# runner = ", "[command]\nrunner = \"/x\""),
    ] {
        assert!(text.contains(commented), "{commented}");
        Config::parse(line, Path::new("x")).unwrap();
    }
}

fn check(text: &str, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.toml");
    fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_troupe"))
        .args(["config", "check"])
        .arg(&file)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_good_file_is_called_good() {
    let (code, out, _) = check(&documented().0, &[]);
    assert_eq!(code, Some(0));
    assert!(out.contains("OK"), "{out}");
}

#[test]
fn a_bad_file_is_refused_with_its_line() {
    let (code, _, error) = check("[tasks]\nmax_stepz = 3\n", &[]);
    assert_eq!(code, Some(78));
    for part in ["cluster.toml", "line 2", "max_stepz", "^^^^^^^^^", "help: "] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn a_bad_variable_and_a_broken_rule_are_refused_by_name() {
    let (code, _, error) = check("", &[("TROUPE_TASKS__MAX_STEPZ", "3")]);
    assert_eq!(code, Some(78));
    assert!(error.contains("TROUPE_TASKS__MAX_STEPZ"), "{error}");

    let (code, _, error) = check("[store]\nurl = \"mysql://db/troupe\"\n", &[]);
    assert_eq!(code, Some(78));
    assert!(
        error.contains("store.url") && error.contains("postgres://"),
        "{error}"
    );
}

#[test]
fn a_value_can_be_read_and_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "[tasks]\nmax_steps = 5 # few\n").unwrap();
    let troupe = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_troupe"))
            .arg("--config")
            .arg(&file)
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let get = ["config", "get", "tasks.max_steps"];
    assert_eq!(troupe(&get), (Some(0), "5\n".into()));
    assert_eq!(
        troupe(&["config", "set", "tasks.max_steps", "9"]).0,
        Some(0)
    );
    assert_eq!(troupe(&get), (Some(0), "9\n".into()));
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "[tasks]\nmax_steps = 9 # few\n"
    );
    assert_eq!(
        troupe(&["config", "set", "tasks.max_steps", "x"]).0,
        Some(78)
    );
    assert_eq!(troupe(&["config", "get", "tasks.nothing"]).0, Some(3));
}

/// Each variable that the sample names is one that is read: with its comment sign gone it is good.
#[test]
fn the_sample_of_the_environment_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.env.example");
    let text = fs::read_to_string(path).unwrap();
    let variables: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#TROUPE_").map(|_| &line[1..]))
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name != "TROUPE_CONFIG")
        .collect();
    assert!(variables.len() >= 7, "{variables:?}");
    let (code, _, error) = check("", &variables);
    assert_eq!(code, Some(0), "{error}");
}
