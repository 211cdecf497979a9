//! The scripts of `tests/vectors`, against `ws-tokio` over an in-memory pipe and a paused clock.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::runtime::Runtime;
use ws_proto::connection::{Connection, Prepared};
use ws_proto::{CloseError, IntoMessage, Role, SendError};
use ws_tests::endpoint::{message, seen, send_error};
use ws_tests::entropy::counting;
use ws_tests::run::{Cut, Subject, play};
use ws_tests::transcript::{Call, Seen, Step, Transcript, closed_words, scripts};
use ws_tokio::{Error, WebSocket};

/// A pipe whose reading end fails when told to.
struct Pipe {
    stream: DuplexStream,
    broken: Arc<AtomicBool>,
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.broken.load(Ordering::Relaxed) {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Adapter {
    runtime: Runtime,
    socket: WebSocket<Pipe>,
    peer: DuplexStream,
    broken: Arc<AtomicBool>,
    seen: Vec<Seen>,
    over: bool,
}

/// Polls a future once, without letting the paused clock run on.
async fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

impl Adapter {
    fn new(script: &Transcript) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (stream, peer) = duplex(1 << 20);
        let broken = Arc::new(AtomicBool::new(false));
        let transport = Pipe { stream, broken: broken.clone() };
        let connection = Connection::from_upgraded(script.role, script.negotiated(), script.config.clone(), counting());
        let socket = runtime.block_on(async { WebSocket::from_connection(connection, transport) });
        let mut adapter = Self { runtime, socket, peer, broken, seen: Vec::new(), over: false };
        adapter.pump();
        adapter
    }

    /// Receives until there is nothing more to receive now.
    fn pump(&mut self) {
        while !self.over {
            match self.runtime.block_on(now_or_never(self.socket.recv_event())) {
                Some(Some(event)) => self.seen.push(seen(&event)),
                Some(None) => self.ended(),
                None => return,
            }
        }
    }

    fn ended(&mut self) {
        self.over = true;
        let closed = self.socket.closed().expect("nothing more comes, so it is over");
        self.seen.push(Seen::Closed(closed_words(closed)));
    }
}

fn error(error: &Error) -> String {
    match error {
        Error::Closed => "closed",
        Error::MessageOpen => "message-open",
        Error::InvalidUtf8 => "utf8",
        Error::ControlTooLong(_) => "too-long",
        Error::Unsupported(_) => "unsupported",
        _ => "other",
    }
    .into()
}

impl Subject for Adapter {
    fn receive(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(1 << 19) {
            let _ = self.runtime.block_on(now_or_never(self.peer.write_all(bytes)));
            self.pump();
        }
    }

    fn eof(&mut self) {
        let _ = self.runtime.block_on(now_or_never(self.peer.shutdown()));
        self.pump();
    }

    fn transport_failed(&mut self) {
        self.broken.store(true, Ordering::Relaxed);
        self.pump();
    }

    fn advance_clock(&mut self, by: Duration) {
        let Self { runtime, socket, seen: all, over, .. } = self;
        let ended = runtime.block_on(async {
            let mut sleep = pin!(tokio::time::sleep(by));
            let receiving = async {
                while let Some(event) = socket.recv_event().await {
                    all.push(seen(&event));
                }
            };
            let mut receiving = pin!(receiving);
            let mut ended = *over;
            std::future::poll_fn(|cx| {
                if !ended {
                    ended = receiving.as_mut().poll(cx).is_ready();
                }
                sleep.as_mut().poll(cx).map(|()| ended)
            })
            .await
        });
        if ended && !self.over {
            self.ended();
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let Self { runtime, socket, .. } = self;
        let result = runtime.block_on(async {
            match call {
                Call::Send(kind, bytes) => socket.try_send(message(*kind, bytes)).map_err(|e| send_error(&e)),
                Call::SendAs(yes, kind, bytes) => {
                    socket.try_send(message(*kind, bytes).compress(*yes)).map_err(|e| send_error(&e))
                }
                Call::Prepared(kind, bytes) => {
                    let prepared = Prepared::new(message(*kind, bytes));
                    now_or_never(socket.send_prepared(&prepared)).await.unwrap_or(Ok(())).map_err(|e| error(&e))
                }
                Call::StartAs(yes, kind) => {
                    let writer = socket.start_message(*kind).map_err(|e| send_error(&e))?;
                    drop(writer.compress(*yes));
                    Ok(())
                }
                Call::Start(kind) => socket.start_message(*kind).map(drop).map_err(|e| send_error(&e)),
                Call::Piece(bytes) | Call::Finish(bytes) => {
                    let result = match socket.resume_message() {
                        None => Err(SendError::Closed(())),
                        Some(writer) if matches!(call, Call::Finish(_)) => writer.finish(bytes),
                        Some(mut writer) => writer.write(bytes),
                    };
                    result.map_err(|e| send_error(&e))
                }
                Call::Ping(bytes) => now_or_never(socket.ping(bytes)).await.unwrap_or(Ok(())).map_err(|e| error(&e)),
                Call::Pong(bytes) => now_or_never(socket.pong(bytes)).await.unwrap_or(Ok(())).map_err(|e| error(&e)),
                Call::Close(None) => unreachable!("such scripts are left out"),
                Call::Close(Some((code, reason))) => socket.start_close(*code, reason).map_err(|e| match e {
                    CloseError::Code(_) => "code".into(),
                    _ => "too-long".into(),
                }),
                Call::Delivery(delivery) => {
                    socket.set_delivery(*delivery);
                    Ok(())
                }
                Call::Abort => {
                    socket.abort();
                    Ok(())
                }
            }
        });
        self.pump();
        result
    }

    fn events(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n.min(1 << 20)];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.runtime.block_on(now_or_never(self.peer.read(&mut bytes[filled..])));
            match read {
                Some(Ok(read)) if read > 0 => filled += read,
                _ => break,
            }
            self.pump();
        }
        bytes.truncate(filled);
        bytes
    }

    fn fact(&mut self, _: &str) -> Option<String> {
        None
    }
}

fn adaptable(script: &Transcript) -> bool {
    !script.core_only && !script.steps.iter().any(|(_, step)| matches!(step, Step::Call(Call::Close(None), _)))
}

#[test]
fn transcripts_against_ws_tokio() {
    let scripts: Vec<_> = scripts().into_iter().filter(adaptable).collect();
    assert!(scripts.len() > 200);
    assert!(scripts.iter().any(|script| script.role == Role::Client));
    let mut faults = Vec::new();
    for script in &scripts {
        let total: usize =
            script.steps.iter().map(|(_, step)| if let Step::Receive(b) = step { b.len() } else { 0 }).sum();
        let mut cuts = vec![Cut::Whole, Cut::Every(3), Cut::Every(7)];
        if total < 1000 {
            cuts.push(Cut::Bytewise);
        }
        for cut in cuts {
            if let Err(fault) = play(script, cut, &mut Adapter::new(script)) {
                faults.push(fault);
                break;
            }
        }
    }
    assert!(faults.is_empty(), "{} of {} scripts failed\n{}", faults.len(), scripts.len(), faults.join("\n\n"));
}
