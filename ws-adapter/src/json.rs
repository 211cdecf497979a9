//! Messages as JSON (RFC 8259).

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ws_proto::Message;

use crate::error::Error;
use crate::runtime::Transfer;
use crate::split::{Receiver, Sender};
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

/// The value in a message, be it text or binary.
fn parse<V: DeserializeOwned>(message: &Message) -> Result<V, JsonError> {
    Ok(serde_json::from_slice(message.as_bytes())?)
}

impl<T, R: Transfer<T>> WebSocket<T, R> {
    /// Sends a value as a text message of JSON; otherwise like [`WebSocket::send`].
    ///
    /// # Errors
    /// [`JsonError`].
    ///
    /// # Cancel safety
    /// As [`WebSocket::send`].
    pub async fn send_json<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), JsonError> {
        let text = serde_json::to_string(value)?;
        Ok(self.send(text).await?)
    }

    /// The next message as a value, be it text or binary; `None` once the connection has ended.
    ///
    /// `Limits::message` bounds how much is parsed.
    ///
    /// # Errors
    /// [`JsonError::Json`] if the message is something else. The connection goes on: receive again, or close it, with
    /// 1007 for example.
    ///
    /// # Cancel safety
    /// Cancel-safe: no message is lost when the future is dropped.
    ///
    /// ```
    /// # async fn example(mut ws: ws_tokio::WebSocket) -> Result<(), ws_tokio::JsonError> {
    /// ws.send_json(&["Hello", "world"]).await?;
    /// while let Some(words) = ws.recv_json::<Vec<String>>().await {
    ///     println!("{:?}", words?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv_json<V: DeserializeOwned>(&mut self) -> Option<Result<V, JsonError>> {
        self.recv().await.map(|message| parse(&message))
    }
}

impl<T, R: Transfer<T>> Receiver<T, R> {
    /// The next message as a value; see [`WebSocket::recv_json`].
    ///
    /// # Errors
    /// As [`WebSocket::recv_json`].
    ///
    /// # Cancel safety
    /// Cancel-safe: no message is lost when the future is dropped.
    pub async fn recv_json<V: DeserializeOwned>(&mut self) -> Option<Result<V, JsonError>> {
        self.recv().await.map(|message| parse(&message))
    }
}

impl<T, R: Transfer<T>> Sender<T, R> {
    /// Sends a value as a text message of JSON; otherwise like [`Sender::send`].
    ///
    /// # Errors
    /// [`JsonError`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn send_json<V: Serialize + ?Sized>(&self, value: &V) -> Result<(), JsonError> {
        let text = serde_json::to_string(value)?;
        Ok(self.send(text).await?)
    }
}
