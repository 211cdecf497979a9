//! Flash socket policy files: what the shims asked for that gave old browsers a WebSocket.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What a Flash player sends instead of a request head.
pub(super) const REQUEST: &[u8] = b"<policy-file-request/>\0";

/// The longest domain that is taken; names of the DNS are shorter.
const DOMAIN_MAX: usize = 255;

/// Which Flash programs may open sockets to us.
///
/// Before it opens a socket a Flash player asks for this file, on the port of the socket itself or on port 843. It
/// guards nothing but Flash players, so look at the origin of each request all the same.
///
/// ```
/// use ws_proto::handshake::FlashPolicy;
/// let policy = FlashPolicy::new("*.example.com", [80, 443])?.allow("localhost", [8080])?;
/// assert!(policy.file().contains(r#"<allow-access-from domain="*.example.com" to-ports="80,443"/>"#));
/// assert!(FlashPolicy::new("a\"/><b", [80]).is_err());
/// # Ok::<(), ws_proto::handshake::FlashPolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashPolicy {
    rules: Box<str>,
}

/// A rule that can't stand in a Flash policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FlashPolicyError {
    /// The domain is neither `*` nor a name or address, with `*.` in front or without.
    #[error("not a domain")]
    Domain,
    /// There is no port, or one of them is 0.
    #[error("no port, or port 0")]
    Port,
}

impl FlashPolicy {
    /// Lets programs that come from `domain` connect to these ports. `*` is every domain, `*.example.com` every one
    /// below `example.com`.
    ///
    /// # Errors
    /// [`FlashPolicyError`].
    pub fn new(domain: &str, ports: impl IntoIterator<Item = u16>) -> Result<Self, FlashPolicyError> {
        Self { rules: Box::default() }.allow(domain, ports)
    }

    /// One rule more.
    ///
    /// # Errors
    /// As [`FlashPolicy::new`].
    pub fn allow(self, domain: &str, ports: impl IntoIterator<Item = u16>) -> Result<Self, FlashPolicyError> {
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        if domain != "*" && (name.is_empty() || name.len() > DOMAIN_MAX || !name.bytes().all(is_name)) {
            return Err(FlashPolicyError::Domain);
        }
        let ports: Vec<u16> = ports.into_iter().collect();
        if ports.is_empty() || ports.contains(&0) {
            return Err(FlashPolicyError::Port);
        }
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let mut rules = String::from(self.rules);
        for part in ["<allow-access-from domain=\"", domain, "\" to-ports=\"", &ports.join(","), "\"/>\n"] {
            rules.push_str(part);
        }
        Ok(Self { rules: rules.into() })
    }

    /// The file, without the NUL that ends it on the wire.
    #[must_use]
    pub fn file(&self) -> String {
        let mut file = String::from(
            "<?xml version=\"1.0\"?>\n\
             <!DOCTYPE cross-domain-policy SYSTEM \"http://www.macromedia.com/xml/dtds/cross-domain-policy.dtd\">\n\
             <cross-domain-policy>\n",
        );
        file.push_str(&self.rules);
        file.push_str("</cross-domain-policy>\n");
        file
    }

    /// The answer.
    pub(super) fn answer(&self) -> Vec<u8> {
        let mut bytes = self.file().into_bytes();
        bytes.push(0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_checked() {
        for domain in ["", "*.", "a b", "a\"b", "<", "*.*", "a*", "\u{e4}.de", "a/b", "a:1", "a&b", "a\r\n", "'"] {
            assert_eq!(FlashPolicy::new(domain, [1]), Err(FlashPolicyError::Domain), "{domain}");
        }
        assert_eq!(FlashPolicy::new("*", []), Err(FlashPolicyError::Port));
        assert_eq!(FlashPolicy::new("*", [1, 0]), Err(FlashPolicyError::Port));
        let policy = FlashPolicy::new("*", [1]).unwrap().allow("127.0.0.1", [65535, 2]).unwrap();
        let bytes = policy.answer();
        assert_eq!(bytes.iter().filter(|b| **b == 0).count(), 1);
        assert!(bytes.ends_with(b"\" to-ports=\"65535,2\"/>\n</cross-domain-policy>\n\0"));
    }
}
