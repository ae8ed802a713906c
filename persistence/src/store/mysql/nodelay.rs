//! Sends what is written to the server at once, which the library has forgotten to ask for.
//! Never touches a connection to anything but the store's port.

use std::ffi::c_int;
use std::os::fd::RawFd;

/// Sets `TCP_NODELAY` on this process' connections to `port`, wherever they lead.
///
/// sqlx 0.9.0 does not (its issue 4335; mended since, not released), and keeps its sockets to itself. A statement of
/// some hundred rows leaves in several TLS records, and each one but the first then waits until the one before is
/// acknowledged: up to 40 ms, in which nothing happens. Measured with MySQL 9.7 on the loopback: 8,000 rows/s, and 44,000
/// without TLS.
///
/// Descriptors are found by `/proc/self/fd`; where that is not there, connections stay as they are. Takes a system call
/// or two a descriptor: for a thread that may block.
pub(super) fn send_at_once(port: u16) {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return };
    for entry in descriptors.flatten() {
        let descriptor = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(descriptor) = descriptor.filter(|&descriptor| peer_port(descriptor) == Some(port)) {
            set_nodelay(descriptor);
        }
    }
}

/// The port at the other end, where a descriptor is a connection over TCP.
#[expect(unsafe_code, reason = "whose descriptor this is cannot be borrowed from")]
fn peer_port(descriptor: RawFd) -> Option<u16> {
    // Zero is a valid address of any family.
    let mut peer: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let mut bytes = libc::socklen_t::try_from(size_of_val(&peer)).ok()?;
    // Safe: the address is as long as it is said to be, and a descriptor that is no socket, or no longer there, is refused.
    let failed = unsafe { libc::getpeername(descriptor, (&raw mut peer).cast(), &raw mut bytes) };
    let is_internet = [libc::AF_INET, libc::AF_INET6].contains(&c_int::from(peer.sin6_family));
    // The port stands at the same place in both families.
    (failed == 0 && is_internet).then(|| u16::from_be(peer.sin6_port))
}

#[expect(unsafe_code, reason = "whose descriptor this is cannot be borrowed from")]
fn set_nodelay(descriptor: RawFd) {
    let on: c_int = 1;
    let Ok(bytes) = libc::socklen_t::try_from(size_of_val(&on)) else { return };
    // Safe: reads one number. Should the descriptor have become another's meanwhile, then that one sends at once as well,
    // as every connection of this process does.
    unsafe {
        libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_to_the_store_s_port_send_at_once_and_others_stay_as_they_are() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let [store, other] = [(); 2].map(|()| TcpListener::bind(address).unwrap());
            let [to_store, to_other] =
                [&store, &other].map(|listener| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            assert!(!to_store.nodelay().unwrap(), "nobody has asked for it yet");
            send_at_once(store.local_addr().unwrap().port());
            assert!(to_store.nodelay().unwrap(), "{address}");
            assert!(!to_other.nodelay().unwrap(), "{address}");
        }
    }
}
