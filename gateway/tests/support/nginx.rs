//! The nginx of `docker/nginx.conf`, in front of servers of a test; gone with its handle.
//! Never changes what is shipped but for where it listens and whom it asks.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    pub(crate) fn start(folder: &Path, servers: &[SocketAddr]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut conf =
            include_str!("../../../docker/nginx.conf").replace("listen 8080", &format!("listen {address}"));
        let mut places = servers.iter();
        for number in 1..=3 {
            let shipped = format!("server gateway{number}:8080 resolve max_fails=0;");
            assert!(conf.contains(&shipped), "{shipped} stands there");
            let here = places.next().map(|server| format!("server {server} max_fails=0;"));
            conf = conf.replace(&shipped, &here.unwrap_or_default());
        }
        assert!(places.next().is_none(), "there are three servers in it at most");
        let place = folder.join("nginx");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("nginx.conf"), conf).unwrap();
        // If the thread that runs the test ends, whatever the reason, the kernel ends nginx.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "nginx", "-p"]).arg(&place);
        command.arg("-c").arg(place.join("nginx.conf")).arg("-e").arg(place.join("error.log"));
        command.args(["-g", &format!("daemon off; pid {}/nginx.pid;", place.display())]);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        let child = command.spawn().expect("nginx (Debian package nginx-light) starts");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        Self { child, address }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it if it is asked; killed, it would leave them behind.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
