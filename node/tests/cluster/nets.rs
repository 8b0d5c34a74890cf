//! A network namespace for each node, joined by a router that can be told to lose packets.

use std::{
    fs::File,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
    process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The router's own namespace, and one for each node; all are gone with this value.
pub(crate) struct Nets {
    tag: String,
    names: Vec<String>,
    /// Rules that lose packets, to be taken back.
    rules: Vec<Vec<String>>,
}

/// Which way packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Both,
}

/// Where the database is: this program's own namespace.
pub(crate) const HOME: &str = "home";

impl Nets {
    /// `None`, and a word on standard output, where namespaces are not allowed.
    pub(crate) fn new(names: &[&str]) -> Option<Self> {
        let tag = format!("t{}", std::process::id() % 100_000);
        let nets = Self {
            names: [&[HOME], names]
                .concat()
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            tag,
            rules: Vec::new(),
        };
        if let Err(error) = ip(&["netns", "add", &nets.router()]) {
            println!(
                "SKIPPED: partitions need network namespaces, and `ip netns add` says: {error}"
            );
            return None;
        }
        let router = nets.router();
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        ip(&["netns", "exec", &router, "sh", "-c", forward]).unwrap();
        for name in &nets.names {
            nets.wire(name);
        }
        Some(nets)
    }

    fn router(&self) -> String {
        format!("{}-router", self.tag)
    }

    /// The namespace of a node.
    pub(crate) fn net(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    fn number(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap() + 1
    }

    /// Where a node is reached.
    pub(crate) fn address(&self, name: &str) -> String {
        format!("10.213.{}.2", self.number(name))
    }

    /// Joins a namespace to the router.
    fn wire(&self, name: &str) {
        let (router, net, number) = (self.router(), self.net(name), self.number(name));
        let (near, far) = (format!("{}v{number}", self.tag), format!("r{number}"));
        let gateway = format!("10.213.{number}.1");
        ip(&[
            "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &router,
        ])
        .unwrap();
        ip(&[
            "-n",
            &router,
            "addr",
            "add",
            &format!("{gateway}/24"),
            "dev",
            &far,
        ])
        .unwrap();
        ip(&["-n", &router, "link", "set", &far, "up"]).unwrap();
        let address = format!("{}/24", self.address(name));
        let mut inside: Vec<&str> = Vec::new();
        if name != HOME {
            ip(&["netns", "add", &net]).unwrap();
            ip(&["link", "set", &near, "netns", &net]).unwrap();
            inside = vec!["-n", &net];
            ip(&["-n", &net, "link", "set", "lo", "up"]).unwrap();
        }
        let within = |arguments: &[&str]| ip(&[&inside, arguments].concat()).unwrap();
        within(&["addr", "add", &address, "dev", &near]);
        within(&["link", "set", &near, "up"]);
        within(&["route", "add", "10.213.0.0/16", "via", &gateway]);
    }

    /// Loses all packets from one to another, without a word.
    pub(crate) fn cut(&mut self, from: &str, to: &str, way: Way) {
        let (a, b) = (self.address(from), self.address(to));
        let mut ways = vec![(&a, &b)];
        if way == Way::Both {
            ways.push((&b, &a));
        }
        for (from, to) in ways {
            let rule = ["from", from, "to", to, "blackhole"]
                .map(str::to_owned)
                .to_vec();
            self.rule("add", &rule);
            self.rules.push(rule);
        }
    }

    /// Loses all packets from and to one.
    pub(crate) fn isolate(&mut self, name: &str) {
        for other in self.names.clone() {
            if other != name {
                self.cut(name, &other, Way::Both);
            }
        }
    }

    /// Everything arrives again.
    pub(crate) fn heal(&mut self) {
        for rule in std::mem::take(&mut self.rules) {
            self.rule("del", &rule);
        }
    }

    fn rule(&self, what: &str, rule: &[String]) {
        let router = self.router();
        let mut arguments = vec!["-n", &router, "rule", what];
        arguments.extend(rule.iter().map(String::as_str));
        ip(&arguments).unwrap();
    }

    /// A port here whose connections end at a port of a namespace's loopback, whatever the router does.
    pub(crate) fn door(&self, name: &str, port: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let local = listener.local_addr().unwrap().port();
        let net = File::open(format!("/run/netns/{}", self.net(name))).unwrap();
        thread::spawn(move || {
            // Only this thread moves, and those that it starts; the listener stays where it is.
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(net.as_fd(), network).unwrap();
            for outer in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || relay(outer, port));
            }
        });
        local
    }
}

/// Carries bytes both ways until both ends have closed.
fn relay(outer: TcpStream, port: u16) {
    let Ok(inner) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    let (Ok(mut from), Ok(mut to)) = (outer.try_clone(), inner.try_clone()) else {
        return;
    };
    let back = thread::spawn(move || {
        let (mut from, mut to) = (inner, outer);
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = back.join();
}

impl Drop for Nets {
    fn drop(&mut self) {
        for name in self.names.iter().filter(|name| *name != HOME) {
            let _ = ip(&["netns", "del", &self.net(name)]);
        }
        let _ = ip(&["link", "del", &format!("{}v1", self.tag)]);
        let _ = ip(&["netns", "del", &self.router()]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new("ip").args(arguments).output();
    let ended = ended.map_err(|error| format!("`ip` (package iproute2) cannot be run: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(format!("ip {}: {said}", arguments.join(" ")))
}
