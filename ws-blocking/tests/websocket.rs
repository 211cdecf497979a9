//! An open connection over memory and sockets.

mod common;

use std::io::{Read, Write};
use std::thread;

use common::{Narrow, Raw, both, client, frame, guard, pair, patiently, raw_server, server, tcp_pair, upgraded};
use ws_blocking::{
    ByteReader, ByteStream, ByteWriter, Cause, CloseCode, Config, Delivery, Error, Event, Interrupted, Kind, Message,
    Role, SendError, pipe,
};

#[test]
fn messages_pass_both_ways_in_pieces_of_any_size() {
    patiently(|| {
        for size in [1, 2, 3, 7, 64, 1000, 100_000] {
            let (here, there) = pipe();
            let (client, mut server) = (client(Narrow(here, size)), server(Narrow(there, size)));
            let scale = size.min(100);
            let big = "é".repeat(400 * scale);
            let sent = [
                Message::from("Hello"),
                Message::from(""),
                Message::from(vec![0_u8, 255, 1]),
                Message::from(vec![7_u8; 700 * scale]),
                Message::from(big.as_str()),
            ];
            let expected = sent.clone();
            let echo = thread::spawn(move || {
                while let Some(message) = server.recv().unwrap() {
                    server.send(message).unwrap();
                }
                server.closed().cloned().unwrap()
            });
            let (mut receiver, sender) = client.split();
            let sending = thread::spawn(move || {
                for message in sent {
                    sender.send(message).unwrap();
                }
                sender
            });
            for message in expected {
                assert_eq!(receiver.recv().unwrap().unwrap(), message);
            }
            let sender = sending.join().unwrap();
            sender.close(CloseCode::NORMAL, "done").unwrap();
            assert_eq!(receiver.recv(), Ok(None));
            let closed = receiver.closed().unwrap();
            assert!(closed.is_clean());
            assert_eq!(closed.code(), CloseCode::NORMAL);
            let closed = echo.join().unwrap();
            assert!(closed.is_clean());
            assert_eq!(closed.reason(), "done");
            assert!(sender.is_closed());
            assert_eq!(sender.send("late"), Err(Error::Closed));
        }
    });
}

#[test]
fn close_tells_how_it_ended_on_both_sides() {
    patiently(|| {
        let (mut client, mut server) = tcp_pair();
        let (ours, theirs) = both(
            || client.close(4000, "bye"),
            || {
                assert_eq!(server.recv(), Ok(None));
                server.closed().cloned().unwrap()
            },
        );
        let ours = ours.unwrap();
        assert!(ours.is_clean() && theirs.is_clean());
        assert_eq!(ours.code(), CloseCode::from(4000));
        assert_eq!((theirs.code(), theirs.reason()), (CloseCode::from(4000), "bye"));
        assert!(client.get_ref().is_none() && server.get_ref().is_none());
        // Once more is harmless.
        assert_eq!(client.close(1000, "").unwrap(), ours);
        assert_eq!(client.recv(), Ok(None));
        assert_eq!(client.send("late"), Err(Error::Closed));
        assert_eq!(client.flush(), Err(Error::Closed));
    });
}

#[test]
fn both_close_at_once() {
    patiently(|| {
        let (mut client, mut server) = pair();
        client.start_close(4001, "a").unwrap();
        server.start_close(4002, "b").unwrap();
        let (a, b) = both(|| client.close(1000, ""), || server.close(1000, ""));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.is_clean() && b.is_clean());
        assert_eq!((a.code(), b.code()), (CloseCode::from(4002), CloseCode::from(4001)));
    });
}

#[test]
fn an_impossible_close_is_refused_and_nothing_happens() {
    let (mut client, _server) = pair();
    assert!(matches!(client.close(1005, ""), Err(Error::Close(_))));
    assert!(client.close(1000, &"x".repeat(124)).is_err());
    assert!(client.closed().is_none());
    assert!(client.get_ref().is_some());
}

#[test]
fn pings_are_answered_and_timed() {
    patiently(|| {
        let (mut client, mut server) = pair();
        client.ping(b"are you there").unwrap();
        assert_eq!(client.ping(&[0; 126]), Err(Error::ControlTooLong(126)));
        let server = thread::spawn(move || {
            let Some(Event::Ping(ping)) = server.recv_event().unwrap() else { panic!("no ping") };
            assert_eq!(&ping[..], b"are you there");
            server.recv().unwrap()
        });
        let Some(Event::Pong(pong)) = client.recv_event().unwrap() else { panic!("no pong") };
        assert_eq!(&pong.payload[..], b"are you there");
        assert!(pong.round_trip.is_some());
        assert!(client.stats().round_trip.is_some());
        client.pong(b"nobody asked").unwrap();
        client.send("end").unwrap();
        assert_eq!(server.join().unwrap(), Some("end".into()));
        assert_eq!(client.stats().sent.pings, 1);
        assert_eq!(client.stats().received.pongs, 1);
    });
}

#[test]
fn owed_answers_go_out_although_nothing_is_sent() {
    patiently(|| {
        let (mut peer, mut server) = raw_server(Config::default());
        peer.write_all(&frame(0x89, b"hi")).unwrap();
        let server = thread::spawn(move || {
            let message = server.recv().unwrap();
            (message, server.closed().cloned())
        });
        let mut pong = [0; 4];
        peer.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\x8a\x02hi");
        // A broken rule: the Close goes out, too.
        peer.write_all(&[0x83, 0x80]).unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert_eq!(&rest[..4], [0x88, rest.len() as u8 - 2, 0x03, 0xea]);
        drop(peer);
        let (message, closed) = server.join().unwrap();
        assert_eq!(message, None);
        assert!(matches!(closed.unwrap().cause, Cause::Protocol(_)));
    });
}

#[test]
fn lent_events_need_no_copy() {
    patiently(|| {
        let (mut client, mut server) = pair();
        for text in ["one", "two", "three"] {
            client.feed(text).unwrap();
        }
        client.flush().unwrap();
        let mut seen = Vec::new();
        let last = server.recv_with(|event| {
            let Event::Text(text) = event else { panic!("not text") };
            assert!(text.is_lent());
            seen.push(text.as_str().to_owned());
            (text == "three").then(|| text.as_bytes().len())
        });
        assert_eq!(last, Ok(Some(5)));
        assert_eq!(seen, ["one", "two", "three"]);
    });
}

#[test]
fn chunks_and_pieces() {
    patiently(|| {
        let (mut client, mut server) = pair();
        server.set_delivery(Delivery::Chunks);
        let server = thread::spawn(move || {
            let mut whole = Vec::new();
            while let Some(event) = server.recv_event().unwrap() {
                if let Event::Chunk(chunk) = event {
                    assert_eq!(chunk.first, whole.is_empty());
                    whole.extend_from_slice(&chunk.data);
                    if chunk.last {
                        break;
                    }
                }
            }
            whole
        });
        client.start_message(Kind::Text).unwrap().write(b"pieces ").unwrap();
        assert_eq!(client.send("between"), Err(Error::MessageOpen));
        client.ping(b"but this may").unwrap();
        client.resume_message().unwrap().write("of text, é".as_bytes()).unwrap();
        client.resume_message().unwrap().finish(b"").unwrap();
        client.flush().unwrap();
        assert_eq!(server.join().unwrap(), "pieces of text, é".as_bytes());
    });
}

#[test]
fn a_full_queue_hands_the_message_back_or_waits() {
    patiently(|| {
        let mut config = Config::default();
        config.limits.outgoing = 1000;
        let (here, there) = pipe();
        let (mut client, mut server) = (upgraded(here, Role::Client, config), server(there));
        client.try_send(vec![1_u8; 200_000]).unwrap();
        let Err(SendError::Full(message)) = client.try_send("two") else { panic!("not full") };
        assert_eq!(message, "two");
        let receive = thread::spawn(move || (server.recv().unwrap(), server.recv().unwrap()));
        client.send(message).unwrap();
        let (one, two) = receive.join().unwrap();
        assert_eq!(one.unwrap().len(), 200_000);
        assert_eq!(two.unwrap(), Message::from("two"));
    });
}

#[test]
fn abort_ends_at_once() {
    patiently(|| {
        let (mut client, mut server) = pair();
        client.abort();
        assert_eq!(client.closed().unwrap().cause, Cause::Aborted);
        assert_eq!(client.recv(), Ok(None));
        assert_eq!(client.send("x"), Err(Error::Closed));
        assert_eq!(server.recv(), Ok(None));
        assert_eq!(server.closed().unwrap().cause, Cause::Eof);
        assert_eq!(server.closed().unwrap().code(), CloseCode::ABNORMAL);
    });
}

#[test]
fn messages_before_the_end_of_the_stream_are_delivered() {
    patiently(|| {
        let (mut peer, mut server) = raw_server(Config::default());
        peer.write_all(&[frame(0x81, b"one"), frame(0x01, b"part")].concat()).unwrap();
        drop(peer);
        assert_eq!(server.recv(), Ok(Some("one".into())));
        assert_eq!(server.recv(), Ok(None));
        assert_eq!(server.closed().unwrap().cause, Cause::Eof);
        assert!(server.io_error().is_none());
    });
}

#[test]
fn a_prepared_message_is_sent_on_many_connections() {
    patiently(|| {
        let prepared = ws_blocking::Prepared::new("to all");
        for _ in 0..3 {
            let (mut client, mut server) = pair();
            server.send_prepared(&prepared).unwrap();
            client.send_prepared(&prepared).unwrap();
            assert_eq!(client.recv(), Ok(Some("to all".into())));
            assert_eq!(server.recv(), Ok(Some("to all".into())));
        }
    });
}

#[test]
fn an_iterator_gives_messages_and_tells_an_unclean_end_once() {
    patiently(|| {
        let (mut client, mut server) = pair();
        for n in 0..3 {
            server.send(format!("{n}")).unwrap();
        }
        drop(server);
        let mut seen = Vec::new();
        for item in &mut client {
            match item {
                Ok(message) => seen.push(message.as_text().unwrap().to_owned()),
                Err(Error::Ended(closed)) => seen.push(format!("{:?}", closed.cause)),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(seen, ["0", "1", "2", "Eof"]);
        assert!(client.next().is_none());
        // A clean end is just the end; an interruption is not.
        let (mut client, mut server) = pair();
        client.set_wait(std::time::Duration::ZERO);
        assert_eq!(client.next(), Some(Err(Error::Interrupted { why: Interrupted::Deadline, queued: false })));
        client.set_wait(guard());
        let closing = thread::spawn(move || server.close(1000, "").unwrap());
        assert!(client.by_ref().next().is_none());
        assert!(closing.join().unwrap().is_clean());
    });
}

#[test]
fn a_message_is_sent_from_a_reader() {
    patiently(|| {
        let (mut client, mut server) = tcp_pair();
        let text = "0123456789".repeat(100_000);
        let expected = text.clone();
        let receive = thread::spawn(move || server.recv().unwrap().unwrap());
        assert_eq!(client.send_reader(Kind::Text, text.as_bytes()).unwrap(), 1_000_000);
        assert_eq!(receive.join().unwrap().as_text(), Some(&*expected));
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::PermissionDenied.into())
            }
        }
        assert!(matches!(
            client.send_reader(Kind::Binary, Broken),
            Err(ws_blocking::SendReaderError::Read(error)) if error.kind() == std::io::ErrorKind::PermissionDenied
        ));
    });
}

#[test]
fn a_connection_as_a_stream_of_bytes() {
    patiently(|| {
        let (client, server) = tcp_pair();
        let echo = thread::spawn(move || {
            let (receiver, sender) = server.split();
            let (mut reader, mut writer) = (ByteReader::new(receiver), ByteWriter::new(sender));
            let copied = std::io::copy(&mut reader, &mut writer).unwrap();
            writer.flush().unwrap();
            (copied, reader.into_inner())
        });
        let mut stream = ByteStream::new(client);
        let payload: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let mut got = Vec::new();
        for piece in payload.chunks(70_000) {
            stream.write_all(piece).unwrap();
            let mut back = vec![0; piece.len()];
            stream.read_exact(&mut back).unwrap();
            got.extend(back);
        }
        assert_eq!(got, payload);
        stream.shutdown().unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
        assert!(stream.into_inner().closed().unwrap().is_clean());
        let (copied, receiver) = echo.join().unwrap();
        assert_eq!(copied, 300_000);
        assert!(receiver.closed().unwrap().is_clean());
    });
}

#[test]
fn text_in_a_stream_of_bytes_is_an_error_and_so_is_a_torn_end() {
    patiently(|| {
        let (mut peer, ws) = raw_server(Config::default());
        let mut stream = ByteStream::new(ws);
        peer.write_all(&frame(0x81, b"text")).unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
        stream.set_wait(std::time::Duration::ZERO);
        assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        stream.set_wait(guard());
        drop(peer);
        assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    });
}

#[cfg(feature = "json")]
#[test]
fn json_is_sent_and_received() {
    patiently(|| {
        let (mut client, server) = pair();
        let (mut receiver, sender) = server.split();
        client.send_json(&["Hello", "world"]).unwrap();
        assert_eq!(receiver.recv_json::<Vec<String>>().unwrap().unwrap().unwrap(), ["Hello", "world"]);
        sender.send_json(&7).unwrap();
        assert!(client.recv_json::<String>().unwrap().unwrap().is_err());
        sender.send_json(&7).unwrap();
        assert_eq!(client.recv_json::<u8>().unwrap().unwrap().unwrap(), 7);
        drop(client);
        assert!(receiver.recv_json::<u8>().unwrap().is_none());
    });
}

#[test]
fn a_process_of_its_own_is_talked_to_over_its_pipes() {
    use std::process::{Command, Stdio};
    patiently(|| {
        // Gives back what it gets: the connection hears a client's frames, unmasked as it expects of a server.
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let transport = ws_blocking::Duplex::new(child.stdout.take().unwrap(), child.stdin.take().unwrap()).unwrap();
        let mut ws = server(transport);
        ws.send("to itself").unwrap();
        assert_eq!(ws.recv(), Ok(None));
        assert!(matches!(ws.closed().unwrap().cause, Cause::Protocol(_)), "{:?}", ws.closed());
        drop(ws);
        assert!(child.wait().unwrap().success());
    });
}

/// A writer whose end is the end of the stream.
struct Ending(std::net::TcpStream);

impl Write for Ending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

#[test]
fn a_duplex_of_any_reader_and_writer() {
    patiently(|| {
        let (a, b) = common::sockets();
        let over = |tcp: std::net::TcpStream| ws_blocking::Duplex::new(tcp.try_clone().unwrap(), Ending(tcp)).unwrap();
        let (mut client, mut server) = (client(over(a)), server(over(b)));
        let echo = thread::spawn(move || {
            while let Some(message) = server.recv().unwrap() {
                server.send(message).unwrap();
            }
            server.closed().cloned().unwrap()
        });
        for size in [0, 10, 100_000, 1_000_000] {
            client.send(vec![3; size]).unwrap();
            assert_eq!(client.recv().unwrap().unwrap().len(), size);
        }
        client.start_close(1000, "").unwrap();
        assert_eq!(client.recv(), Ok(None));
        assert!(echo.join().unwrap().is_clean());
    });
}

#[test]
fn many_small_messages_in_one_read_are_answered_in_one_write() {
    patiently(|| {
        let (mut peer, mut ws) = raw_server(Config::default());
        peer.write_all(&frame(0x81, b"x").repeat(100)).unwrap();
        for _ in 0..100 {
            let message = ws.recv().unwrap().unwrap();
            ws.send(message).unwrap();
        }
        let mut answers = [0; 301];
        let n = Raw::read(&mut peer, &mut answers).unwrap();
        assert_eq!(n, 300);
    });
}
