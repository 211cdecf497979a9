//! Several addresses, of which the first that answers is taken.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Pause;
use crate::runtime::Runtime;

/// How long an address has for itself before the next one is tried as well; RFC 8305 section 5 recommends this.
const STAGGER: Duration = Duration::from_millis(250);

/// Dials the addresses in their order: the next one as soon as one has failed, or after a while without an answer.
///
/// The first that succeeds is taken and the other attempts are dropped. Gives the last failure if all fail.
pub(crate) async fn race<R, F, T>(addresses: Vec<SocketAddr>, mut dial: impl FnMut(SocketAddr) -> F) -> io::Result<T>
where
    R: Runtime,
    F: Future<Output = io::Result<T>>,
{
    let mut untried = addresses.into_iter();
    let mut attempts: Vec<Pin<Box<F>>> = Vec::new();
    let mut failure = None;
    let mut pause = Pause::<R>::new(STAGGER);
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut n = 0;
            while let Some(attempt) = attempts.get_mut(n) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        failure = Some(error);
                        failed = true;
                        drop(attempts.remove(n));
                    }
                    Poll::Pending => n += 1,
                }
            }
            if untried.len() > 0 && !failed && !attempts.is_empty() && pause.poll(cx).is_pending() {
                return Poll::Pending;
            }
            match untried.next() {
                Some(address) => {
                    attempts.push(Box::pin(dial(address)));
                    pause.reset(STAGGER);
                }
                None if attempts.is_empty() => {
                    let none = || io::Error::new(ErrorKind::NotFound, "the name has no address");
                    return Poll::Ready(Err(failure.take().unwrap_or_else(none)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::rc::Rc;

    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::testing::Testing;

    /// What an address does, and after how many milliseconds; `None` never ends.
    type Fate = Option<(u64, Result<(), ErrorKind>)>;

    /// The outcome, after how many milliseconds; when each address was dialled; how many attempts are left over.
    async fn outcome(fates: &[Fate]) -> (Result<u16, ErrorKind>, u128, Vec<u128>, usize) {
        let start = Instant::now();
        let dialled = RefCell::new(Vec::new());
        let alive = Rc::new(());
        let addresses = (0..fates.len()).map(|n| SocketAddr::from(([127, 0, 0, 1], n as u16))).collect();
        let racing = race::<Testing, _, _>(addresses, |address| {
            dialled.borrow_mut().push(start.elapsed().as_millis());
            let (fate, alive) = (fates[usize::from(address.port())], alive.clone());
            async move {
                let _alive = alive;
                let Some((after, result)) = fate else { return pending().await };
                sleep(Duration::from_millis(after)).await;
                result.map(|()| address.port()).map_err(io::Error::from)
            }
        });
        let result = timeout(Duration::from_secs(10), racing).await.unwrap_or(Err(ErrorKind::TimedOut.into()));
        let left = Rc::strong_count(&alive) - 1;
        (result.map_err(|error| error.kind()), start.elapsed().as_millis(), dialled.into_inner(), left)
    }

    #[tokio::test(start_paused = true)]
    async fn threat_095_a_black_hole_does_not_keep_the_others_waiting() {
        let refused = Some((10, Err(ErrorKind::ConnectionRefused)));
        let reset = Some((20, Err(ErrorKind::ConnectionReset)));
        for (fates, expected) in [
            // The only one.
            (vec![Some((5, Ok(())))], (Ok(0), 5, vec![0])),
            // The first answers in time, the second is never asked.
            (vec![Some((240, Ok(()))), None], (Ok(0), 240, vec![0])),
            // The first never answers.
            (vec![None, Some((30, Ok(())))], (Ok(1), 280, vec![0, 250])),
            (vec![None, None, None, Some((1, Ok(())))], (Ok(3), 751, vec![0, 250, 500, 750])),
            // One that fails makes room for the next at once, and gives that one its own time.
            (vec![refused, Some((5, Ok(())))], (Ok(1), 15, vec![0, 10])),
            (vec![refused, None, Some((5, Ok(())))], (Ok(2), 265, vec![0, 10, 260])),
            (vec![None, refused, Some((5, Ok(())))], (Ok(2), 265, vec![0, 250, 260])),
            // A slow one wins if it is still the first.
            (vec![Some((400, Ok(()))), Some((200, Ok(())))], (Ok(0), 400, vec![0, 250])),
            // Failures only: the last one is told.
            (vec![refused, reset], (Err(ErrorKind::ConnectionReset), 30, vec![0, 10])),
            (vec![None, refused, reset, Some((9_000, Ok(())))], (Ok(3), 9_280, vec![0, 250, 260, 280])),
            // Never an answer: the deadline of all together ends it.
            (vec![None; 3], (Err(ErrorKind::TimedOut), 10_000, vec![0, 250, 500])),
            (vec![], (Err(ErrorKind::NotFound), 0, vec![])),
        ] {
            let (result, after, dialled, left) = outcome(&fates).await;
            assert_eq!((result, after, dialled), expected, "{fates:?}");
            assert_eq!(left, 0, "attempts that were not dropped: {fates:?}");
        }
    }
}
