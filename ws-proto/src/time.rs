//! The caller's clock.

use core::time::Duration;

/// A point in time on a clock that the caller owns: nanoseconds since an origin the caller picks.
///
/// The core never reads a clock. An adapter maps its own clock to this type, for example by
/// `Instant::from_duration(start.elapsed())`. All arithmetic saturates, so a clock that stands still,
/// jumps, or counts for centuries does no harm.
///
/// ```
/// use core::time::Duration;
/// use ws_proto::Instant;
/// let t = Instant::from_secs(5);
/// assert_eq!(t.saturating_add(Duration::from_secs(1)).duration_since(t), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// The last instant there is (about 584 years after the origin).
    pub const MAX: Self = Self(u64::MAX);

    /// An instant that many nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// An instant that many milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// An instant that many seconds after the origin.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// An instant at this distance from the origin; distances over 584 years are cut to [`Instant::MAX`].
    #[must_use]
    pub fn from_duration(since_origin: Duration) -> Self {
        Self(nanos(since_origin))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This instant moved later, at most to [`Instant::MAX`].
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// The time since `earlier`; zero if that is not earlier.
    #[must_use]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
