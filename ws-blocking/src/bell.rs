//! What wakes a thread that waits in `poll(2)`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as system;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use portable as system;

/// A descriptor that is readable from [`Bell::ring`] to [`Bell::quiet`].
#[derive(Debug)]
pub(crate) struct Bell(system::Bell);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        system::Bell::new().map(Self)
    }

    /// Never waits. A bell that rings already goes on ringing.
    pub(crate) fn ring(&self) {
        self.0.ring();
    }

    pub(crate) fn quiet(&self) {
        self.0.quiet();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    #[derive(Debug)]
    pub(super) struct Bell(OwnedFd);

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        pub(super) fn ring(&self) {
            // It fails if the counter is at its end, and then it rings already.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub(super) fn quiet(&self) {
            let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        }
    }

    impl AsFd for Bell {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    pub(super) struct Bell {
        sender: UnixStream,
        receiver: UnixStream,
    }

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            let (sender, receiver) = UnixStream::pair()?;
            sender.set_nonblocking(true)?;
            receiver.set_nonblocking(true)?;
            Ok(Self { sender, receiver })
        }

        pub(super) fn ring(&self) {
            // It fails if the pipe is full, and then it rings already.
            let _ = (&self.sender).write(&[1]);
        }

        pub(super) fn quiet(&self) {
            let _ = (&self.receiver).read(&mut [0; 64]);
        }
    }

    impl AsFd for Bell {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.receiver.as_fd()
        }
    }
}
