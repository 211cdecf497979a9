//! A server, and a client, that do as a test says, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Ends a wait for something that never comes; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Peer {
    listener: TcpListener,
    pub(crate) url: String,
}

/// A WebSocket of a client, without a thought of its own.
pub(crate) struct Socket {
    stream: BufReader<TcpStream>,
}

impl Peer {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next client, and what it asked for.
    pub(crate) fn accept(&self) -> (String, Socket) {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let (mut target, mut key) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("GET ") {
                target = rest.split(' ').next().unwrap().to_owned();
            }
            if let Some((_, value)) = line.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case("sec-websocket-key"))
            {
                key = crate::accept_value(value);
            }
        }
        let mut socket = Socket { stream };
        socket.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        socket.write(format!("Sec-WebSocket-Accept: {key}\r\n\r\n").as_bytes());
        (target, socket)
    }
}

impl Socket {
    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&[&[0x80 | opcode, payload.len().try_into().unwrap()], payload].concat());
    }

    /// Sends less than 126 bytes of text.
    pub(crate) fn text(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    /// Sends less than 126 bytes.
    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        self.send(2, bytes);
    }

    /// The next frame, if it is short: its opcode and what it carries.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 6];
        self.stream.read_exact(&mut head).unwrap();
        let [first, second, key @ ..] = head;
        assert!((0x80..0xfe).contains(&second), "a masked frame of less than 126 bytes: {head:?}");
        let mut payload = vec![0; usize::from(second & 0x7f)];
        self.stream.read_exact(&mut payload).unwrap();
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        (first & 0xf, payload)
    }

    /// Closes; waits for the answer.
    pub(crate) fn close(mut self) {
        self.send(8, &1000_u16.to_be_bytes());
        assert_eq!(self.frame().0, 8);
        self.stream.get_mut().shutdown(Shutdown::Both).unwrap();
    }

    /// Waits for a Close and answers it.
    pub(crate) fn answer_close(mut self) {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 8);
        self.send(8, &payload);
    }
}

/// A client of a chat on a Unix socket. What it does not read stays in the socket, which has less room than one of TCP.
pub(crate) struct Talker {
    stream: BufReader<UnixStream>,
}

impl Talker {
    pub(crate) fn join(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 101 "), "{line}");
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        let mut talker = Self { stream };
        // The answer to the request comes before the place in the room; this goes to nobody else.
        talker.text("/nick");
        talker.reads_until("server: /nick NAME gives you a name");
        talker
    }

    /// Sends text.
    pub(crate) fn text(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    /// Sends bytes.
    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        self.send(2, bytes);
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let head = match payload.len() {
            0..126 => vec![0x80 | opcode, 0x80 | low],
            _ => vec![0x80 | opcode, 0x80 | 126, high, low],
        };
        // The key of the mask is 0.
        self.stream.get_mut().write_all(&[&head, &[0; 4][..], payload].concat()).unwrap();
    }

    /// The next frame: its opcode and what it carries.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).unwrap();
                u16::from_be_bytes(length)
            }
            length => length.into(),
        };
        let mut payload = vec![0; length.into()];
        self.stream.read_exact(&mut payload).unwrap();
        (head[0] & 0xf, payload)
    }

    /// Reads lines until this one.
    pub(crate) fn reads_until(&mut self, line: &str) {
        while self.frame() != (1, line.as_bytes().to_vec()) {}
    }

    /// Reads lines until a long one; gives how many there were before.
    pub(crate) fn reads_long_line(&mut self) -> usize {
        let mut others = 0;
        while self.frame().1.len() < 1000 {
            others += 1;
        }
        others
    }

    /// Reads to the Close, and gives its code.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            let (opcode, payload) = self.frame();
            if opcode == 8 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}
