//! Errors of a listener: go on at once, or after a pause.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);
/// Failures of single connections in a row that are taken without a pause.
const IN_A_ROW: u32 = 32;

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens on the first of the addresses that can be used. The socket does not block.
pub(super) fn tcp(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failure = None;
    for address in address.to_socket_addrs()? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(ErrorKind::InvalidInput, "there is no address to listen on")))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option means that others may take the port away.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Whether an error is about the one connection that was to be accepted, and says nothing about the next.
///
/// On Linux `accept` also reports network errors that are already pending on the new socket, and EPERM when a firewall
/// forbids the connection.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

/// How long to wait after an error.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pause: Option<Duration>,
    in_a_row: u32,
}

impl Backoff {
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The pause to make now, if any. When the system is short of something (files, memory), trying again at once
    /// would only burn time that is needed to free some.
    pub(super) fn failed(&mut self, error: &io::Error) -> Option<Duration> {
        if is_about_one_connection(error) && self.in_a_row < IN_A_ROW {
            self.in_a_row += 1;
            return None;
        }
        let pause = self.pause.map_or(SHORTEST, |pause| (pause * 2).min(LONGEST));
        self.pause = Some(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_118_shortage_is_backed_off_and_single_failures_are_not() {
        let mut backoff = Backoff::default();
        for kind in [ErrorKind::ConnectionAborted, ErrorKind::PermissionDenied, ErrorKind::Interrupted] {
            assert_eq!(backoff.failed(&kind.into()), None);
        }
        // EMFILE, ENFILE, ENOMEM have kinds that are not stable; any unknown one is a shortage.
        let short = || io::Error::from_raw_os_error(24);
        let pauses: Vec<_> = (0..9).filter_map(|_| backoff.failed(&short())).map(|p| p.as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(&short()), Some(SHORTEST));
    }

    #[test]
    fn threat_118_endless_single_failures_do_not_spin() {
        let mut backoff = Backoff::default();
        let paused = (0..1000).filter(|_| backoff.failed(&ErrorKind::ConnectionAborted.into()).is_some()).count();
        assert_eq!(paused, 1000 - IN_A_ROW as usize);
    }
}
