//! Who listens at a port already, as far as the system tells.

use std::{fs, path::Path};

/// The program that listens at `port`, as `name (process 123)`.
pub(super) fn of(port: u16) -> Option<String> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let Some(id) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if holds(&process.path(), &sockets) {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// The inodes of the sockets that listen at `port`, from a table of the kernel.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
            (local == port && *fields.get(3)? == LISTEN).then(|| fields.get(9).copied())?
        })
        .map(str::to_owned)
        .collect()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    // Other users' processes do not show theirs.
    let Ok(open) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| {
            target
                .to_str()
                .is_some_and(|target| sockets.iter().any(|socket| socket == target))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(listener.local_addr().unwrap().port()).unwrap();
        assert!(
            holder.contains(&format!("process {}", std::process::id())),
            "{holder}"
        );
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1\n   1: 0100007F:1F40 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 43 1\n";
        assert_eq!(listening(table, 8000), ["42"]);
        assert_eq!(listening(table, 8001), Vec::<String>::new());
    }
}
