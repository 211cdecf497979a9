//! Messages as JSON (RFC 8259).

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ws_adapter::ws_proto::Message;

use crate::error::Error;
use crate::split::{Receiver, Sender};
use crate::transport::Transport;
use crate::wait::Interrupted;
use crate::websocket::WebSocket;

/// Why a value was not sent or received.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The value can't be written as JSON, or a message is not JSON, or not of this type. The connection goes on.
    Json(serde_json::Error),
    /// The message could not be sent.
    Send(Error),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Send(error) => Some(error),
        }
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<Error> for JsonError {
    fn from(error: Error) -> Self {
        Self::Send(error)
    }
}

type Received<V> = Result<Option<Result<V, JsonError>>, Interrupted>;

/// The value in a message, be it text or binary.
fn parse<V: DeserializeOwned>(message: &Message) -> Result<V, JsonError> {
    Ok(serde_json::from_slice(message.as_bytes())?)
}

impl<T: Transport> WebSocket<T> {
    /// Sends a value as a text message of JSON; otherwise like [`WebSocket::send`].
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn send_json<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), JsonError> {
        let text = serde_json::to_string(value)?;
        Ok(self.send(text)?)
    }

    /// The next message as a value, be it text or binary; `None` once the connection has ended.
    ///
    /// `Limits::message` bounds how much is parsed.
    ///
    /// # Errors
    /// [`Interrupted`]; no message is lost. Within, [`JsonError::Json`] if the message is something else: the connection
    /// goes on then; receive again, or close it, with 1007 for example.
    ///
    /// ```
    /// # fn example(mut ws: ws_blocking::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// ws.send_json(&["Hello", "world"])?;
    /// while let Some(words) = ws.recv_json::<Vec<String>>()? {
    ///     println!("{:?}", words?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_json<V: DeserializeOwned>(&mut self) -> Received<V> {
        Ok(self.recv()?.map(|message| parse(&message)))
    }
}

impl<T: Transport> Receiver<T> {
    /// The next message as a value; see [`WebSocket::recv_json`].
    ///
    /// # Errors
    /// As [`WebSocket::recv_json`].
    pub fn recv_json<V: DeserializeOwned>(&mut self) -> Received<V> {
        Ok(self.recv()?.map(|message| parse(&message)))
    }
}

impl<T: Transport> Sender<T> {
    /// Sends a value as a text message of JSON; otherwise like [`Sender::send`].
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn send_json<V: Serialize + ?Sized>(&self, value: &V) -> Result<(), JsonError> {
        let text = serde_json::to_string(value)?;
        Ok(self.send(text)?)
    }
}
