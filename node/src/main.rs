//! The `troupe` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Stands between the node and each command that it runs, so it starts before anything else does.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == "__run-tool")
    {
        return actors::adapter::command::run_tool();
    }
    troupe::cli::main()
}
