//! The other node: this program again.

use std::path::Path;

use runtime::cluster::transport::testkit::{Founded, Other, be, told_to_be_the_other};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) async fn other(founded: &Founded, name: &str) -> Other {
    let args = [
        "--exact",
        "other::is_the_other_node_when_told_so",
        "--nocapture",
    ];
    Other::start(founded, name, &args).await.unwrap()
}

pub(crate) fn signal(other: &Other, signal: Signal) {
    let pid = i32::try_from(other.pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// In the process that runs the tests nobody tells it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_the_other_node_when_told_so() {
    if let Some(folder) = told_to_be_the_other() {
        be(Path::new(&folder)).await.unwrap();
    }
}
