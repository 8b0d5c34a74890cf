//! Runs one tool for a node, like `troupe __run-tool`; for programs that embed a node.

use std::process::ExitCode;

fn main() -> ExitCode {
    actors::adapter::command::run_tool()
}
