//! Connections as streams of bytes, messages out of readers, and messages as JSON.

mod common;

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use alloc_meter::Mark;
use common::{modern, pair, patiently, server};
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, copy_bidirectional, duplex};
use ws_tokio::{
    ByteReader, ByteStream, ByteWriter, Config, Delivery, Error, Event, Kind, Message, Role, SendReaderError, WebSocket,
};

/// Bytes that depend on where they are.
fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[tokio::test]
async fn bytes_go_through_a_tunnel_whatever_the_sizes() {
    patiently(async {
        let (client, server) = pair(10_000);
        let (mut near, near_end) = duplex(777);
        let (far_end, mut far) = duplex(1234);
        let tunnel = |ws, mut end| async move { copy_bidirectional(&mut ByteStream::new(ws), &mut end).await };
        let (here, there) = (noise(1_000_000), noise(300_000));
        let talk = async {
            let (mut near_in, mut near_out) = tokio::io::split(&mut near);
            let (mut far_in, mut far_out) = tokio::io::split(&mut far);
            let (mut a, mut b) = (vec![0; there.len()], vec![0; here.len()]);
            let (x, y, z, w) = tokio::join!(
                near_out.write_all(&here),
                far_out.write_all(&there),
                near_in.read_exact(&mut a),
                far_in.read_exact(&mut b),
            );
            assert!(x.and(y).and(z).and(w).is_ok());
            // One end is enough: a WebSocket can't be closed by half.
            near_out.shutdown().await.unwrap();
            assert_eq!(far_in.read(&mut [0]).await.unwrap(), 0);
            far_out.shutdown().await.unwrap();
            assert_eq!(near_in.read(&mut [0]).await.unwrap(), 0);
            (a, b)
        };
        let (one, two, (a, b)) = tokio::join!(tunnel(client, near_end), tunnel(server, far_end), talk);
        assert_eq!(one.unwrap(), (there.len() as u64, here.len() as u64));
        assert_eq!(two.unwrap(), (here.len() as u64, there.len() as u64));
        assert!(a == there && b == here);
    })
    .await;
}

#[tokio::test]
async fn halves_read_and_write_at_the_same_time() {
    patiently(async {
        let (client, server) = pair(4_000);
        let echo = async {
            let (receiver, sender) = server.split();
            let (mut reader, mut writer) = (ByteReader::new(receiver), ByteWriter::new(sender));
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let talk = async {
            let (receiver, sender) = client.split();
            let (mut reader, mut writer) = (ByteReader::new(receiver), ByteWriter::new(sender));
            let sent = noise(500_000);
            let mut got = vec![0; sent.len()];
            let write = async {
                for piece in sent.chunks(70_001) {
                    writer.write_all(piece).await.unwrap();
                }
            };
            let ((), read) = tokio::join!(write, reader.read_exact(&mut got));
            read.unwrap();
            assert!(got == sent);
            writer.shutdown().await.unwrap();
            assert_eq!(writer.write(b"late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
            assert!(reader.into_inner().closed().unwrap().is_clean());
        };
        tokio::join!(echo, talk);
    })
    .await;
}

#[tokio::test]
async fn how_a_stream_of_bytes_ends() {
    patiently(async {
        let mut buffer = [0; 10];
        // The peer goes without a word.
        let (client, server) = pair(1000);
        drop(client);
        let error = ByteStream::new(server).read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(matches!(error.get_ref().unwrap().downcast_ref(), Some(Error::Ended(_))));
        // Text is not for here, and what follows it is.
        let (mut client, server) = pair(1000);
        client.send("text").await.unwrap();
        client.send(&b"bytes"[..]).await.unwrap();
        client.start_close(1000, "").unwrap();
        client.flush().await.unwrap();
        let mut stream = ByteStream::new(server);
        assert_eq!(stream.read(&mut buffer).await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 5);
        // An end by design, however often one asks.
        let _ = tokio::join!(client.recv(), async {
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
        });
        // One by accident.
        let (mut client, server) = pair(1000);
        client.start_close(1011, "out of order").unwrap();
        client.flush().await.unwrap();
        let mut stream = ByteStream::new(server);
        let _ = tokio::join!(client.recv(), async {
            assert_eq!(stream.read(&mut buffer).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        });
    })
    .await;
}

#[tokio::test]
async fn chunks_are_bytes_too() {
    patiently(async {
        let (mut client, mut server) = pair(500);
        server.set_delivery(Delivery::Chunks);
        let mut stream = ByteStream::new(server);
        let sent = noise(5000);
        let (result, ()) = tokio::join!(client.send(sent.clone()), async {
            let mut got = vec![0; sent.len()];
            stream.read_exact(&mut got).await.unwrap();
            assert!(got == sent);
        });
        result.unwrap();
        // Text is not, and is told once.
        let send = async {
            client.send("text".repeat(500)).await.unwrap();
            client.send(&b"after"[..]).await.unwrap();
        };
        tokio::join!(send, async {
            assert_eq!(stream.read(&mut [0; 10]).await.unwrap_err().kind(), ErrorKind::InvalidData);
            assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 5);
        });
    })
    .await;
}

/// A limit of the queue far below what is written at once.
#[tokio::test]
async fn a_small_queue_makes_writers_wait() {
    patiently(async {
        let cramped = || {
            let (a, b) = duplex(64);
            let mut config = Config::default();
            config.limits.outgoing = 100;
            (WebSocket::from_upgraded(a, Role::Client, modern(), config), server(b))
        };
        let sent = noise(20_000);
        let read = async |ws| {
            let mut got = vec![0; sent.len()];
            ByteStream::new(ws).read_exact(&mut got).await.unwrap();
            got
        };
        let (client, far) = cramped();
        let mut stream = ByteStream::new(client);
        let write = async {
            for piece in sent.chunks(90) {
                stream.write_all(piece).await.unwrap();
            }
            stream.flush().await.unwrap();
        };
        let ((), got) = tokio::join!(write, read(far));
        assert!(got == sent);
        // Several senders take the room from each other.
        let (client, far) = cramped();
        let (_receiver, sender) = client.split();
        let write = async |of: usize| {
            let mut writer = ByteWriter::new(sender.clone());
            for _ in 0..of {
                writer.write_all(&[7; 90]).await.unwrap();
            }
            writer.flush().await.unwrap();
        };
        tokio::join!(write(100), write(100), write(50), async {
            ByteStream::new(far).read_exact(&mut vec![0; 250 * 90]).await.unwrap();
        });
        let (mut client, mut far) = cramped();
        let feed = async {
            for _ in 0..200 {
                SinkExt::<Message>::feed(&mut client, Message::from(vec![7; 90])).await.unwrap();
            }
            SinkExt::<Message>::flush(&mut client).await.unwrap();
        };
        tokio::join!(feed, async {
            for _ in 0..200 {
                assert!(far.recv().await.is_some());
            }
        });
    })
    .await;
}

/// Gives some bytes at a time, says now and then that it has none yet, and may fail at the end.
struct Source {
    left: usize,
    pause: bool,
    fails: bool,
}

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.pause = !self.pause;
        if self.pause {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = self.left.min(buf.remaining()).min(50_001);
        if n == 0 && self.fails {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        self.left -= n;
        buf.put_slice(&vec![b'x'; n]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_reader_is_sent_as_one_message_without_being_held() {
    const SIZE: usize = 12_000_000;
    patiently(async {
        for split in [false, true] {
            let (client, mut server) = pair(30_000);
            server.set_delivery(Delivery::Chunks);
            let receive = async {
                let (mut bytes, mut first, mut last) = (0, 0, 0);
                while last == 0 {
                    let Some(Event::Chunk(chunk)) = server.recv_event().await else { panic!() };
                    bytes += chunk.data.len();
                    first += u32::from(chunk.first);
                    last += u32::from(chunk.last);
                    assert_eq!(chunk.kind, Kind::Binary);
                }
                assert_eq!((bytes, first), (SIZE, 1));
            };
            let mark = Mark::now();
            let send = async {
                let source = Source { left: SIZE, pause: false, fails: false };
                let sent = if split {
                    let (receiver, sender) = client.split();
                    let sent = sender.send_reader(Kind::Binary, source).await.unwrap();
                    sender.send("after").await.unwrap();
                    drop(receiver);
                    sent
                } else {
                    let mut client = client;
                    client.send_reader(Kind::Binary, source).await.unwrap()
                };
                assert_eq!(sent, SIZE as u64);
            };
            tokio::join!(send, receive);
            let peak = mark.usage().peak;
            assert!(peak < 1_000_000, "{peak}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_of_text_may_be_cut_anywhere_but_must_be_text() {
    patiently(async {
        let (mut client, mut server) = pair(100_000);
        let text = "aß水𝄞".repeat(9_000);
        assert_eq!(client.send_reader(Kind::Text, text.as_bytes()).await.unwrap(), text.len() as u64);
        assert_eq!(server.recv().await.unwrap().as_text().unwrap(), text);
        assert_eq!(client.send_reader(Kind::Binary, &[][..]).await.unwrap(), 0);
        assert_eq!(server.recv().await.unwrap(), Message::Binary(Vec::new().into()));
        let error = client.send_reader(Kind::Text, &b"a\xffb"[..]).await.unwrap_err();
        assert!(matches!(error, SendReaderError::Send(Error::InvalidUtf8)));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_fails_leaves_its_message_open() {
    patiently(async {
        let (mut client, mut server) = pair(1_000_000);
        let source = Source { left: 60_000, pause: false, fails: true };
        let error = client.send_reader(Kind::Binary, source).await.unwrap_err();
        assert!(matches!(error, SendReaderError::Read(error) if error.kind() == ErrorKind::TimedOut));
        assert_eq!(client.send("x").await, Err(Error::MessageOpen));
        let (closed, message) = tokio::join!(client.close(1011, "the source failed"), server.recv());
        assert_eq!(message, None);
        assert!(closed.unwrap().is_clean());
        assert_eq!(server.closed().unwrap().code(), 1011.into());
    })
    .await;
}

#[cfg(feature = "json")]
#[tokio::test]
async fn values_travel_as_json() {
    use ws_tokio::JsonError;
    patiently(async {
        let (mut client, server) = pair(1000);
        let (mut receiver, sender) = server.split();
        client.send_json(&("one", 2, [3.5])).await.unwrap();
        assert_eq!(
            receiver.recv_json::<(String, u8, Vec<f64>)>().await.unwrap().unwrap(),
            ("one".into(), 2, vec![3.5])
        );
        client.send(&b"[1,2]"[..]).await.unwrap();
        assert_eq!(receiver.recv_json::<Vec<u8>>().await.unwrap().unwrap(), [1, 2]);
        // What is no JSON, or something else, is told, and the connection goes on.
        client.send("{").await.unwrap();
        client.send("\"text\"").await.unwrap();
        for _ in 0..2 {
            assert!(matches!(receiver.recv_json::<u8>().await, Some(Err(JsonError::Json(_)))));
        }
        sender.send_json(&Some(7)).await.unwrap();
        assert_eq!(client.recv_json::<Option<u8>>().await.unwrap().unwrap(), Some(7));
        drop((receiver, sender));
        assert!(client.recv_json::<u8>().await.is_none());
        assert!(matches!(client.send_json(&1).await, Err(JsonError::Send(Error::Closed))));
    })
    .await;
}
