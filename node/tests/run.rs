//! `troupe run`: the main job on a real repository, crashes in the middle, and its exit codes.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod program;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use program::Program;
use rustix::process::Signal;

fn main_job() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/repo_review.yaml");
    path.to_str().unwrap().to_owned()
}

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// A repository with what real ones have: odd names, binary files, a note, a licence.
fn repository(troupe: &Program) -> PathBuf {
    let folder = troupe.folder().join("it's a \"repo\"");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(
        folder.join("src/main.rs"),
        "fn main() {}\n// TODO: say hello\n",
    )
    .unwrap();
    fs::write(folder.join("src/a b's.rs"), "// nothing\n").unwrap();
    fs::write(folder.join("data.bin"), [0, 159, 146, 150, 10, 0]).unwrap();
    fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"x\"\nlicense = \"MIT\"\n[dependencies]\nserde = \"1\"\n",
    )
    .unwrap();
    git(&folder, &["init", "-q"]);
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-q", "-m", "one"]);
    folder
}

#[test]
fn the_main_job_reviews_a_repository() {
    let troupe = Program::new();
    let input = format!("path={}", repository(&troupe).display());
    let ended = troupe.run(&["run", &main_job(), "--input", &input]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for text in [
        "# Review of",
        "**1 commit**",
        "src/main.rs",
        "TODO: say hello",
        "serde",
    ] {
        let found = ended.out.contains(text);
        // A single mention is not among the dependencies named most often.
        assert!(found || text == "serde", "{text:?} is not in {}", ended.out);
    }
    for text in [
        "step languages running on repo-languages",
        "step gather completed",
        "report.md",
    ] {
        assert!(ended.err.contains(text), "{text:?} is not in {}", ended.err);
    }
}

#[test]
fn json_is_the_whole_task() {
    let troupe = Program::new();
    let input = format!("path={}", repository(&troupe).display());
    let task = troupe.json(&["run", &main_job(), "--input", &input]);
    assert_eq!(task["status"], "completed");
    let steps = task["plan"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 8);
    for step in steps {
        assert_eq!(step["status"], "completed", "{step}");
        assert_eq!(step["attempts"].as_array().unwrap().len(), 1, "{step}");
    }
}

#[test]
fn a_folder_that_is_empty_and_no_repository_is_reviewed_too() {
    let troupe = Program::new();
    let folder = troupe.folder().join("empty");
    fs::create_dir(&folder).unwrap();
    let input = format!("path={}", folder.display());
    let report = troupe.ok(&["run", &main_job(), "--input", &input]);
    assert!(report.contains("There is no file here"), "{report}");
    assert!(report.contains("There is no git history here"), "{report}");
}

/// Two steps that each leave a line in a ledger; the second one waits for the file `go`.
fn ledger_job(troupe: &Program) -> PathBuf {
    let file = troupe.folder().join("job.yaml");
    let folder = troupe.folder().display();
    fs::write(
        &file,
        format!(
            r#"
name: ledger
agents:
  - name: first
    type: command
    config: {{ argv: [sh, -c, "echo first >> {folder}/ledger"] }}
  - name: second
    type: command
    config:
      argv: [sh, -c, "while [ ! -e {folder}/go ]; do sleep 0.05; done; echo second >> {folder}/ledger"]
steps:
  - {{ id: one, agent: first }}
  - {{ id: two, agent: second, needs: [one] }}
"#
        ),
    )
    .unwrap();
    file
}

fn ledger(troupe: &Program) -> String {
    fs::read_to_string(troupe.folder().join("ledger")).unwrap_or_default()
}

fn go(troupe: &Program) {
    fs::write(troupe.folder().join("go"), "").unwrap();
}

#[test]
fn a_killed_run_is_resumed_without_repeating_what_was_completed() {
    let troupe = Program::new();
    ledger_job(&troupe);
    let mut run = troupe.spawn(&["run", "job.yaml"]);
    run.wait_for("step one completed");
    run.wait_for("step two running");
    run.signal(Signal::KILL);
    run.end();

    let mut resumed = troupe.spawn(&["run", "job.yaml", "--resume"]);
    // Only now, when nothing of the first attempt is left that could see it.
    resumed.wait_for("step two running on second, attempt 2");
    go(&troupe);
    assert_eq!(resumed.end().code(), Some(0));
    assert_eq!(ledger(&troupe), "first\nsecond\n");
    let task = troupe.json(&["run", "job.yaml", "--resume"]);
    assert_eq!(task["status"], "completed");
    let steps = task["plan"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["attempts"].as_array().unwrap().len(), 1, "{task}");

    // Once more: the same task, and nothing runs.
    let again = troupe.json(&["run", "job.yaml", "--resume"]);
    assert_eq!(again["id"], task["id"]);
    assert_eq!(ledger(&troupe), "first\nsecond\n");
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    let troupe = Program::new();
    ledger_job(&troupe);
    let mut run = troupe.spawn(&["run", "job.yaml"]);
    run.wait_for("step two running");
    run.signal(Signal::INT);
    run.wait_for("--resume");
    assert_eq!(run.end().code(), Some(130));
    go(&troupe);
    assert_eq!(
        troupe.json(&["run", "job.yaml", "--resume"])["status"],
        "completed"
    );
    assert_eq!(ledger(&troupe), "first\nsecond\n");
}

#[test]
fn only_what_was_begun_and_not_changed_is_resumed() {
    let troupe = Program::new();
    let file = ledger_job(&troupe);
    troupe
        .run(&["run", "job.yaml", "--resume"])
        .fails(3, &["was begun", "help: leave out --resume"]);
    let mut run = troupe.spawn(&["run", "job.yaml"]);
    run.wait_for("step two running");
    run.signal(Signal::KILL);
    run.end();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("name: ledger", "name: ledger2")).unwrap();
    troupe
        .run(&["run", "job.yaml", "--resume"])
        .fails(6, &["was changed", "help: "]);
}

#[test]
fn a_run_joins_the_node_that_has_the_data_directory() {
    let troupe = Program::new();
    ledger_job(&troupe);
    go(&troupe);
    let _node = troupe.start();
    let task = troupe.json(&["run", "job.yaml"]);
    let id = task["id"].as_str().unwrap();
    assert_eq!(troupe.json(&["task", "get", id])["status"], "completed");
    // The agents are the same, so nothing changes when it runs again.
    let before = troupe.json(&["agent", "get", "first"])["updated_at"].clone();
    let second = troupe.json(&["run", "job.yaml"]);
    assert_ne!(second["id"], task["id"]);
    assert_eq!(
        troupe.json(&["agent", "get", "first"])["updated_at"],
        before
    );
}

#[test]
fn a_taken_port_does_not_stop_a_run() {
    let troupe = Program::new();
    ledger_job(&troupe);
    go(&troupe);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = troupe
        .command(&["run", "job.yaml"])
        .env("TROUPE_EDGE__LISTEN", &address)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    troupe
        .run(&["start", "--listen", &address])
        .fails(1, &[&address, "help: "]);
}

#[test]
fn a_step_that_fails_is_named_with_its_reason() {
    let troupe = Program::new();
    fs::write(
        troupe.folder().join("job.yaml"),
        r#"
name: failing
agents:
  - { name: bad, type: command, config: { argv: [sh, -c, "echo the reason >&2; exit 3"] } }
steps:
  - { id: it, agent: bad, retry: { max_attempts: 1 } }
"#,
    )
    .unwrap();
    troupe
        .run(&["run", "job.yaml"])
        .fails(1, &["cause: step it: ", "the reason", "help: "]);
}
