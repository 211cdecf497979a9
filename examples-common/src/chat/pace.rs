//! How fast somebody may talk.

use std::time::Duration;

/// One person may say a line this often, in the long run...
const LINE_INTERVAL: Duration = Duration::from_millis(50);
/// ...and be ahead of that by this much. Further ones wait; nobody can drown the others.
const AHEAD: Duration = Duration::from_secs(5);

/// The pace of one person. Times count from any one point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the next line would be due if they came evenly.
    due: Duration,
}

impl Pace {
    /// Somebody has said a line `now`; gives how long to wait before the next one is heard.
    pub fn line(&mut self, now: Duration) -> Duration {
        self.due = self.due.max(now) + LINE_INTERVAL;
        (self.due - now).saturating_sub(AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_heard_at_once_and_a_torrent_slowly() {
        let (mut pace, mut now) = (Pace::default(), Duration::from_secs(7));
        for _ in 0..100 {
            assert_eq!(pace.line(now), Duration::ZERO);
        }
        for _ in 0..100 {
            let wait = pace.line(now);
            assert_eq!(wait, LINE_INTERVAL);
            now += wait;
        }
        // After a silence there may be a burst again.
        now += AHEAD;
        assert_eq!(pace.line(now), Duration::ZERO);
    }
}
