//! Long reads below TLS.

use std::io;
use std::task::{Poll, ready};

use crate::pool;

/// The most that is read ahead.
const MOST: usize = 64 * 1024;

/// What was read from a socket below TLS and not asked for yet.
///
/// rustls asks for a record at a time, of at most 16 KiB, and so would cost many calls of the system. It gets that out of
/// longer reads. What is empty holds no memory.
#[derive(Debug, Default)]
pub struct ReadAhead {
    left: Vec<u8>,
    start: usize,
}

impl ReadAhead {
    /// Reads into `buffer` from what is left, or else from the socket, by `read`, which is called at most once.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn poll_read(
        &mut self,
        buffer: &mut [u8],
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(rest @ [_, ..]) = self.left.get(self.start..) {
            let n = copy(rest, buffer);
            self.start += n;
            if self.start == self.left.len() {
                *self = Self::default();
            }
            return Poll::Ready(Ok(n));
        }
        let mut scratch = pool::take();
        let result = read(scratch.get_mut(..MOST).unwrap_or_default());
        let result = result.map_ok(|n| {
            let got = scratch.get(..n).unwrap_or_default();
            let n = copy(got, buffer);
            if let Some(later @ [_, ..]) = got.get(n..) {
                self.left = later.to_vec();
            }
            n
        });
        pool::give(scratch);
        Poll::Ready(ready!(result))
    }
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
        to.copy_from_slice(from);
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_reads_come_out_of_a_long_one() {
        let mut ahead = ReadAhead::default();
        let mut calls = 0;
        let mut got = Vec::new();
        let mut source = (0..=255).cycle().take(100_000);
        loop {
            let mut buffer = [0; 4096];
            let read = ahead.poll_read(&mut buffer, |room| {
                calls += 1;
                let bytes: Vec<u8> = source.by_ref().take(room.len()).collect();
                room[..bytes.len()].copy_from_slice(&bytes);
                Poll::Ready(Ok(bytes.len()))
            });
            let Poll::Ready(Ok(n)) = read else { panic!("{read:?}") };
            if n == 0 {
                break;
            }
            got.extend_from_slice(&buffer[..n]);
        }
        assert!(got.into_iter().eq((0..=255).cycle().take(100_000)));
        assert_eq!(calls, 3);
        assert_eq!(ahead.left.capacity(), 0);
        assert!(ahead.poll_read(&mut [0], |_| Poll::Pending).is_pending());
        let failing = ahead.poll_read(&mut [0], |_| Poll::Ready(Err(io::ErrorKind::TimedOut.into())));
        assert!(matches!(failing, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut));
    }
}
