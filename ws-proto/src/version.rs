//! Roles and protocol versions.

use core::fmt;

/// Which end of the connection we are.
///
/// Decides who masks (RFC 6455 section 5.1) and who closes TCP first (section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that opened the connection; its frames are masked.
    Client,
    /// The end that accepted the connection; its frames are not masked.
    Server,
}

impl Role {
    /// The role of the other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A version of the protocol, as agreed in the opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// RFC 6455, announced as `Sec-WebSocket-Version: 13`.
    Rfc6455,
}

impl Version {
    /// The number announced in `Sec-WebSocket-Version` (RFC 6455 section 4.1).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Rfc6455 => 13,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rfc6455 => f.write_str("13"),
        }
    }
}

/// A set of protocol versions; says which ones a server accepts.
///
/// ```
/// use ws_proto::{Version, Versions};
/// assert!(Versions::MODERN.contains(Version::Rfc6455));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions(u16);

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self(0);
    /// RFC 6455 only. This is the default.
    pub const MODERN: Self = Self(1 << Version::Rfc6455 as u16);

    /// Whether `version` is in the set.
    #[must_use]
    pub const fn contains(self, version: Version) -> bool {
        self.0 & (1 << version as u16) != 0
    }

    /// The set with `version` added.
    #[must_use]
    pub const fn with(self, version: Version) -> Self {
        Self(self.0 | 1 << version as u16)
    }

    /// The set with `version` removed.
    #[must_use]
    pub const fn without(self, version: Version) -> Self {
        Self(self.0 & !(1 << version as u16))
    }

    /// The versions in the set, newest first.
    pub fn iter(self) -> impl Iterator<Item = Version> {
        [Version::Rfc6455].into_iter().filter(move |v| self.contains(*v))
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self::MODERN
    }
}
