//! What PostgreSQL takes of the machine, apart from the nodes.

use benches::Result;
use runtime::testkit::postgres::PrivatePostgres;

/// All its processes: those that serve somebody, and the first one, which is their parent.
pub(crate) fn processes(server: &PrivatePostgres) -> Result<Vec<u32>> {
    let said = server.sql("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")?;
    let mut processes: Vec<u32> = said
        .split_whitespace()
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    if let Some(child) = processes.first() {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat"))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let parent = after_name.split_whitespace().nth(1).unwrap_or_default();
        processes.push(parent.parse()?);
    }
    Ok(processes)
}

/// Processor time that those who are there have used.
pub(crate) fn processor_seconds(server: &PrivatePostgres) -> Result<f64> {
    let processes = processes(server)?.into_iter();
    // One that ended meanwhile has nothing more to say.
    Ok(processes.flat_map(benches::processor_seconds).sum())
}
