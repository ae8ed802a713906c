//! Servers in network namespaces of their own, on one bridge with this machine, whose ways can be cut one by one and healed.
//! Gone with its handle; needs root, `ip` and `iptables`, and says what it lacks.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

/// One bridge in a namespace of its own, so that what this machine does with bridged packets does not matter.
pub(crate) struct Networks {
    tag: String,
    third: u8,
    count: u8,
}

fn run(words: &str) -> Result<(), String> {
    let mut parts = words.split(' ');
    let mut command = Command::new(parts.next().unwrap_or_default());
    command.args(parts).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.output().map_err(|error| format!("{words}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{words}: {}", said.trim()))
}

impl Networks {
    /// So many namespaces, or why there can be none here.
    pub(crate) fn new(count: u8) -> Result<Self, String> {
        let id = std::process::id();
        let networks = Self { tag: format!("fr{}", id % 100_000), third: (id % 250) as u8, count };
        networks.make()?;
        Ok(networks)
    }

    fn make(&self) -> Result<(), String> {
        let (tag, here) = (&self.tag, self.here());
        let hub = format!("ip netns exec {tag}h");
        run(&format!("ip netns add {tag}h"))?;
        run(&format!("{hub} ip link add br0 type bridge"))?;
        run(&format!("{hub} ip link set br0 up"))?;
        run(&format!("ip link add {tag}m type veth peer name me netns {tag}h"))?;
        run(&format!("{hub} ip link set me master br0 up"))?;
        run(&format!("ip addr add {here}/24 dev {tag}m"))?;
        run(&format!("ip link set {tag}m up"))?;
        for number in 0..self.count {
            let (inside, name) = (format!("ip netns exec {tag}s{number}"), format!("s{number}"));
            run(&format!("ip netns add {tag}s{number}"))?;
            run(&format!("ip link add {name} netns {tag}h type veth peer name eth0 netns {tag}s{number}"))?;
            run(&format!("{hub} ip link set {name} master br0 up"))?;
            run(&format!("{inside} ip addr add {}/24 dev eth0", self.address(number)))?;
            run(&format!("{inside} ip link set eth0 up"))?;
            run(&format!("{inside} ip link set lo up"))?;
            run(&format!("{inside} iptables -L -n"))?;
        }
        Ok(())
    }

    /// Where this machine is for the servers.
    pub(crate) fn here(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.third, 1)
    }

    pub(crate) fn address(&self, server: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.third, 10 + server)
    }

    pub(crate) fn namespace(&self, server: u8) -> String {
        format!("{}s{server}", self.tag)
    }

    /// Nothing goes from a server to this port of this machine any more, nor comes back; nobody is told.
    pub(crate) fn cut_port(&self, server: u8, port: SocketAddr) {
        let (here, port) = (self.here(), port.port());
        self.rule(server, &format!("-A OUTPUT -d {here} -p tcp --dport {port} -j DROP"));
        self.rule(server, &format!("-A INPUT -s {here} -p tcp --sport {port} -j DROP"));
    }

    /// The same between a server and the other ones.
    pub(crate) fn cut_peers(&self, server: u8) {
        for other in (0..self.count).filter(|other| *other != server) {
            let other = self.address(other);
            self.rule(server, &format!("-A OUTPUT -d {other} -j DROP"));
            self.rule(server, &format!("-A INPUT -s {other} -j DROP"));
        }
    }

    /// All ways of a server are open.
    pub(crate) fn heal(&self, server: u8) {
        self.rule(server, "-F");
    }

    fn rule(&self, server: u8, rule: &str) {
        let words = format!("ip netns exec {} iptables {rule}", self.namespace(server));
        run(&words).unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // What was not made cannot be removed.
        let _ = run(&format!("ip link del {}m", self.tag));
        for number in 0..self.count {
            let _ = run(&format!("ip netns del {}", self.namespace(number)));
        }
        let _ = run(&format!("ip netns del {}h", self.tag));
    }
}
