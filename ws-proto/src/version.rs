//! Roles and protocol versions.

use core::fmt;
use core::str::FromStr;

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
///
/// All but the last need the feature `legacy`. The names that [`fmt::Display`] and [`FromStr`] use are those of the
/// drafts: `hixie-75`, `hixie-76`, `hybi-01` to `hybi-08`, and `13`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75 (February 2010): text only, no closing handshake, no masks.
    #[cfg(feature = "legacy")]
    Hixie75,
    /// draft-hixie-thewebsocketprotocol-76 = draft-ietf-hybi-thewebsocketprotocol-00 (May 2010): text only, no masks.
    #[cfg(feature = "legacy")]
    Hixie76,
    /// draft-ietf-hybi-thewebsocketprotocol-01, announced as `Sec-WebSocket-Draft: 1`.
    #[cfg(feature = "legacy")]
    Hybi01,
    /// draft-ietf-hybi-thewebsocketprotocol-02, announced as `Sec-WebSocket-Draft: 2`; also what -03 says of itself.
    #[cfg(feature = "legacy")]
    Hybi02,
    /// draft-ietf-hybi-thewebsocketprotocol-03, announced as `Sec-WebSocket-Draft: 3`, as some programs do.
    #[cfg(feature = "legacy")]
    Hybi03,
    /// draft-ietf-hybi-thewebsocketprotocol-04, announced as `Sec-WebSocket-Version: 4`.
    #[cfg(feature = "legacy")]
    Hybi04,
    /// draft-ietf-hybi-thewebsocketprotocol-05, announced as `Sec-WebSocket-Version: 5`.
    #[cfg(feature = "legacy")]
    Hybi05,
    /// draft-ietf-hybi-thewebsocketprotocol-06, announced as `Sec-WebSocket-Version: 6`.
    #[cfg(feature = "legacy")]
    Hybi06,
    /// draft-ietf-hybi-thewebsocketprotocol-07, announced as `Sec-WebSocket-Version: 7`.
    #[cfg(feature = "legacy")]
    Hybi07,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12, announced as `Sec-WebSocket-Version: 8`.
    #[cfg(feature = "legacy")]
    Hybi08,
    /// draft-ietf-hybi-thewebsocketprotocol-13 to -17 and RFC 6455, announced as `Sec-WebSocket-Version: 13`.
    Rfc6455,
}

/// How frames are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Text between 00 and FF: hixie-75 and -76.
    #[cfg(feature = "legacy")]
    Hixie,
    /// The first binary layout: hybi-01 to -06.
    #[cfg(feature = "legacy")]
    Early,
    /// RFC 6455 section 5.2, since hybi-07.
    Hybi,
}

/// What stands in the body of a Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseBody {
    /// There is none: hixie-75 and -76.
    #[cfg(feature = "legacy")]
    None,
    /// Nothing that means something; it is sent back: hybi-01 to -04.
    #[cfg(feature = "legacy")]
    Echo,
    /// A letter for the role: hybi-05.
    #[cfg(feature = "legacy")]
    Letter,
    /// A code and a reason, with any code from 1000 to 4999; "too big" is 1004: hybi-06 and -07.
    #[cfg(feature = "legacy")]
    OldCode,
    /// A code and a reason, with any code from 1000 to 4999: hybi-08.
    #[cfg(feature = "legacy")]
    AnyCode,
    /// A code and a reason: RFC 6455 section 7.4.
    Code,
}

impl Version {
    /// All versions that are compiled in, the oldest first.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "legacy")]
        Self::Hixie75,
        #[cfg(feature = "legacy")]
        Self::Hixie76,
        #[cfg(feature = "legacy")]
        Self::Hybi01,
        #[cfg(feature = "legacy")]
        Self::Hybi02,
        #[cfg(feature = "legacy")]
        Self::Hybi03,
        #[cfg(feature = "legacy")]
        Self::Hybi04,
        #[cfg(feature = "legacy")]
        Self::Hybi05,
        #[cfg(feature = "legacy")]
        Self::Hybi06,
        #[cfg(feature = "legacy")]
        Self::Hybi07,
        #[cfg(feature = "legacy")]
        Self::Hybi08,
        Self::Rfc6455,
    ];

    /// The number announced in `Sec-WebSocket-Version` (RFC 6455 section 4.1); `None` before hybi-04.
    #[must_use]
    pub const fn number(self) -> Option<u8> {
        match self {
            #[cfg(feature = "legacy")]
            Self::Hixie75 | Self::Hixie76 | Self::Hybi01 | Self::Hybi02 | Self::Hybi03 => None,
            #[cfg(feature = "legacy")]
            Self::Hybi04 => Some(4),
            #[cfg(feature = "legacy")]
            Self::Hybi05 => Some(5),
            #[cfg(feature = "legacy")]
            Self::Hybi06 => Some(6),
            #[cfg(feature = "legacy")]
            Self::Hybi07 => Some(7),
            #[cfg(feature = "legacy")]
            Self::Hybi08 => Some(8),
            Self::Rfc6455 => Some(13),
        }
    }

    /// The number announced in `Sec-WebSocket-Draft`: 1 to 3 for hybi-01 to -03.
    #[must_use]
    pub const fn draft(self) -> Option<u8> {
        match self {
            #[cfg(feature = "legacy")]
            Self::Hybi01 => Some(1),
            #[cfg(feature = "legacy")]
            Self::Hybi02 => Some(2),
            #[cfg(feature = "legacy")]
            Self::Hybi03 => Some(3),
            _ => None,
        }
    }

    /// The name: `hixie-75`, `hixie-76`, `hybi-01` to `hybi-08`, `13`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "legacy")]
            Self::Hixie75 => "hixie-75",
            #[cfg(feature = "legacy")]
            Self::Hixie76 => "hixie-76",
            #[cfg(feature = "legacy")]
            Self::Hybi01 => "hybi-01",
            #[cfg(feature = "legacy")]
            Self::Hybi02 => "hybi-02",
            #[cfg(feature = "legacy")]
            Self::Hybi03 => "hybi-03",
            #[cfg(feature = "legacy")]
            Self::Hybi04 => "hybi-04",
            #[cfg(feature = "legacy")]
            Self::Hybi05 => "hybi-05",
            #[cfg(feature = "legacy")]
            Self::Hybi06 => "hybi-06",
            #[cfg(feature = "legacy")]
            Self::Hybi07 => "hybi-07",
            #[cfg(feature = "legacy")]
            Self::Hybi08 => "hybi-08",
            Self::Rfc6455 => "13",
        }
    }

    pub(crate) const fn layout(self) -> Layout {
        match self {
            #[cfg(feature = "legacy")]
            Self::Hixie75 | Self::Hixie76 => Layout::Hixie,
            #[cfg(feature = "legacy")]
            Self::Hybi01 | Self::Hybi02 | Self::Hybi03 | Self::Hybi04 | Self::Hybi05 | Self::Hybi06 => Layout::Early,
            _ => Layout::Hybi,
        }
    }

    pub(crate) const fn close_body(self) -> CloseBody {
        match self {
            #[cfg(feature = "legacy")]
            Self::Hixie75 | Self::Hixie76 => CloseBody::None,
            #[cfg(feature = "legacy")]
            Self::Hybi01 | Self::Hybi02 | Self::Hybi03 | Self::Hybi04 => CloseBody::Echo,
            #[cfg(feature = "legacy")]
            Self::Hybi05 => CloseBody::Letter,
            #[cfg(feature = "legacy")]
            Self::Hybi06 | Self::Hybi07 => CloseBody::OldCode,
            #[cfg(feature = "legacy")]
            Self::Hybi08 => CloseBody::AnyCode,
            Self::Rfc6455 => CloseBody::Code,
        }
    }

    /// Whether there are binary messages: since hybi-01.
    #[must_use]
    pub const fn has_binary(self) -> bool {
        match self.layout() {
            #[cfg(feature = "legacy")]
            Layout::Hixie => false,
            _ => true,
        }
    }

    /// Whether there are pings and pongs: since hybi-01.
    #[must_use]
    pub const fn has_ping(self) -> bool {
        self.has_binary()
    }

    /// Whether a message can be cut into frames: since hybi-01.
    #[must_use]
    pub const fn has_fragments(self) -> bool {
        self.has_binary()
    }

    /// Whether there is a closing handshake: since hixie-76. Without one, an orderly end looks like a cut.
    #[must_use]
    pub const fn has_close(self) -> bool {
        match self {
            #[cfg(feature = "legacy")]
            Self::Hixie75 => false,
            _ => true,
        }
    }

    /// Whether a Close carries a code and a reason: since hybi-06.
    #[must_use]
    pub const fn has_close_code(self) -> bool {
        match self.close_body() {
            #[cfg(feature = "legacy")]
            CloseBody::None | CloseBody::Echo | CloseBody::Letter => false,
            #[cfg(feature = "legacy")]
            CloseBody::OldCode | CloseBody::AnyCode => true,
            CloseBody::Code => true,
        }
    }

    /// Whether a client masks what it sends, so that it can't be taken for something else on the way
    /// (RFC 6455 section 10.3): since hybi-04.
    #[must_use]
    pub const fn masks(self) -> bool {
        self.number().is_some()
    }

    /// Whether extensions can be agreed on: since hybi-08 here.
    #[must_use]
    pub const fn has_extensions(self) -> bool {
        matches!(self.number(), Some(8..))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No version of that name is compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such protocol version")]
pub struct UnknownVersion;

impl FromStr for Version {
    type Err = UnknownVersion;

    /// By [`Version::name`]; `rfc6455` and `hybi-13` mean 13, and a bare number of `Sec-WebSocket-Version` will do.
    fn from_str(name: &str) -> Result<Self, UnknownVersion> {
        let same = |version: &&Self| match name {
            "rfc6455" | "hybi-13" => **version == Self::Rfc6455,
            // Written as in the header: no sign, no leading zero.
            _ if name.starts_with(['+', '0']) => false,
            _ => version.name() == name || version.number().is_some() && version.number() == name.parse().ok(),
        };
        Self::ALL.iter().find(same).copied().ok_or(UnknownVersion)
    }
}

/// A set of protocol versions; says which ones a server accepts.
///
/// ```
/// use ws_proto::{Version, Versions};
/// assert!(Versions::MODERN.contains(Version::Rfc6455));
/// # #[cfg(feature = "legacy")] {
/// let mine: Versions = "hixie-76,hybi-08,13".parse()?;
/// assert!(mine.contains(Version::Hixie76) && !mine.contains(Version::Hixie75));
/// # }
/// # Ok::<(), ws_proto::UnknownVersion>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions(u16);

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self(0);
    /// RFC 6455 only. This is the default.
    pub const MODERN: Self = Self::NONE.with(Version::Rfc6455);
    /// What programs in the field speak: hixie-75, hixie-76, hybi-07, hybi-08 and 13.
    #[cfg(feature = "legacy")]
    pub const DEPLOYED: Self =
        Self::MODERN.with(Version::Hixie75).with(Version::Hixie76).with(Version::Hybi07).with(Version::Hybi08);
    /// All versions that are compiled in.
    pub const ALL: Self = {
        let mut all = Self::NONE;
        let mut rest = Version::ALL;
        while let [first, more @ ..] = rest {
            all = all.with(*first);
            rest = more;
        }
        all
    };

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

    /// Whether no version is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The versions in the set, newest first.
    pub fn iter(self) -> impl Iterator<Item = Version> {
        Version::ALL.iter().rev().copied().filter(move |v| self.contains(*v))
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self::MODERN
    }
}

impl fmt::Display for Versions {
    /// The names with commas between, newest first; [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(n, version)| {
            f.write_str(if n == 0 { "" } else { ", " })?;
            version.fmt(f)
        })
    }
}

impl FromIterator<Version> for Versions {
    fn from_iter<I: IntoIterator<Item = Version>>(versions: I) -> Self {
        versions.into_iter().fold(Self::NONE, Self::with)
    }
}

impl FromStr for Versions {
    type Err = UnknownVersion;

    /// `modern`, `deployed`, `all`, or names with commas between.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        match text {
            "modern" => Ok(Self::MODERN),
            #[cfg(feature = "legacy")]
            "deployed" => Ok(Self::DEPLOYED),
            "all" => Ok(Self::ALL),
            list => list.split(',').map(|name| name.trim().parse()).collect(),
        }
    }
}

#[cfg(all(test, feature = "legacy"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn names_are_read_back() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse(), Ok(*version));
            assert!(Versions::ALL.contains(*version));
        }
        assert_eq!(Version::ALL.len(), 11);
        assert_eq!("7".parse(), Ok(Version::Hybi07));
        assert_eq!("".parse::<Version>(), Err(UnknownVersion));
        assert_eq!("013".parse::<Version>(), Err(UnknownVersion));
        assert_eq!("+13".parse::<Version>(), Err(UnknownVersion));
        assert_eq!("hybi-09".parse::<Version>(), Err(UnknownVersion));
        assert_eq!("deployed".parse(), Ok(Versions::DEPLOYED));
        assert_eq!(Versions::DEPLOYED.to_string(), "13, hybi-08, hybi-07, hixie-76, hixie-75");
        assert_eq!(Versions::ALL.to_string().parse(), Ok(Versions::ALL));
        assert_eq!("13, hixie-75".parse(), Ok(Versions::MODERN.with(Version::Hixie75)));
        assert_eq!(Versions::ALL.iter().next(), Some(Version::Rfc6455));
    }

    #[test]
    fn what_versions_can_do() {
        use Version::{Hixie75, Hixie76, Hybi01, Hybi03, Hybi04, Hybi05, Hybi06, Hybi07, Hybi08, Rfc6455};
        let first = |can: fn(Version) -> bool| {
            let first = Version::ALL.iter().position(|v| can(*v)).unwrap();
            assert!(Version::ALL[first..].iter().all(|v| can(*v)));
            Version::ALL[first]
        };
        assert_eq!(first(Version::has_binary), Hybi01);
        assert_eq!(first(Version::has_close), Hixie76);
        assert_eq!(first(Version::has_close_code), Hybi06);
        assert_eq!(first(Version::masks), Hybi04);
        assert_eq!(first(Version::has_extensions), Hybi08);
        let numbers = [Hixie75, Hixie76, Hybi01, Hybi03, Hybi04, Hybi05, Hybi06, Hybi07, Hybi08, Rfc6455];
        let numbers = numbers.map(|v| (v.number(), v.draft()));
        let none = (None, None);
        let number = |n| (Some(n), None);
        let draft = |n| (None, Some(n));
        assert_eq!(
            numbers,
            [none, none, draft(1), draft(3), number(4), number(5), number(6), number(7), number(8), number(13)]
        );
    }
}
