//! Heads from and to the types of the crate `http`.
//!
//! A request that a library has read goes through the same reader as bytes do, so that it keeps the same rules and
//! limits. An answer is the finished head, taken apart.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use bytes::Bytes;

use super::head::{HeadError, HeadReader, Kind, Rules};
use super::headers::{Headers, RequestHead, ResponseHead};
use super::response::Response;

/// Judges a request line and header lines as if they had come as bytes.
///
/// Lines of one name keep their order. What the library has changed on the way (case of names, lines of different names)
/// is as it says.
pub(crate) fn read_request(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    rules: Rules,
) -> Result<RequestHead, HeadError> {
    let protocol: &[u8] = match version {
        Version::HTTP_10 => b" HTTP/1.0\r\n",
        Version::HTTP_11 => b" HTTP/1.1\r\n",
        _ => return Err(HeadError::Version),
    };
    let mut reader = HeadReader::new(Kind::Request, rules);
    let mut read = |part: &[u8]| reader.push(part);
    read(method.as_str().as_bytes())?;
    read(b" ")?;
    match (uri.authority(), uri.path_and_query()) {
        (None, Some(resource)) => read(resource.as_str().as_bytes())?,
        _ => read(uri.to_string().as_bytes())?,
    };
    read(protocol)?;
    for (name, value) in headers {
        read(name.as_str().as_bytes())?;
        read(b": ")?;
        read(value.as_bytes())?;
        read(b"\r\n")?;
    }
    read(b"\r\n")?;
    let (bytes, lines) = reader.finish();
    RequestHead::parse(bytes, lines)
}

/// Takes a finished head apart that this library made.
pub(crate) fn make_response<B>(head: Vec<u8>, body: B) -> Result<::http::Response<B>, ::http::Error> {
    let lines = head.iter().filter(|b| **b == b'\n').count();
    // What is no head has the status 0, which fails below.
    let head = ResponseHead::parse(head, lines).unwrap_or_default();
    fill(&head, body)
}

fn fill<B>(head: &ResponseHead, body: B) -> Result<::http::Response<B>, ::http::Error> {
    let mut response = ::http::Response::new(body);
    *response.status_mut() = ::http::StatusCode::from_u16(head.status)?;
    *response.headers_mut() = HeaderMap::try_from(&head.headers)?;
    Ok(response)
}

/// The lines of one name keep their order.
impl TryFrom<&Headers> for HeaderMap {
    type Error = ::http::Error;

    /// # Errors
    /// Tens of thousands of names, or a name of more than 65,535 bytes.
    fn try_from(headers: &Headers) -> Result<Self, Self::Error> {
        let mut map = Self::new();
        for (name, value) in headers.raw() {
            map.try_append(HeaderName::from_bytes(name)?, HeaderValue::from_bytes(value)?)?;
        }
        Ok(map)
    }
}

/// What a server answered, with as much of the body as was kept.
impl TryFrom<&Response> for ::http::Response<Bytes> {
    type Error = ::http::Error;

    /// # Errors
    /// As for [`Headers`].
    fn try_from(response: &Response) -> Result<Self, Self::Error> {
        fill(&response.head, Bytes::copy_from_slice(&response.body))
    }
}
