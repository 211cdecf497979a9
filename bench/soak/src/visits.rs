//! What visitors do: with plain sockets here, with the adapter's client in its own module.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::adapter::{Adapter, Places};
use crate::frames::{self, ACCEPT, BROWSER_REQUEST, Kind::Binary};

/// How long anything may take before the run is given up.
pub const HANG: Duration = Duration::from_secs(30);

/// Which server is visited.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Tcp,
    Tls,
    Unix,
}

/// How a visitor who uses the adapter behaves.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Sends, receives, closes.
    Polite,
    /// The same with two halves.
    Split,
    /// Goes away without a word.
    Rude,
    /// Gives up while it connects.
    Impatient,
    /// Asks for something that makes the server's handler panic.
    Fatal,
    /// Visits a server that answers with rubbish.
    Misled,
}

/// Numbers that look random: xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % end
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// The length of a message: mostly short.
    pub fn len(&mut self) -> usize {
        let most = [20, 200, 2000, 70_000][self.below(4)];
        1 + self.below(most)
    }
}

/// The text that makes a handler panic.
pub const FATAL: &str = "panic";

/// What a visit may be: how often of 400, its name, and what is done.
type Kind = (usize, &'static str, fn(&dyn Adapter, Place, &mut Random) -> Result<(), String>);

const KINDS: [Kind; 15] = [
    (1, "silent", |adapter, place, random| by_socket(adapter, place, random, silent)),
    (1, "deaf", |adapter, place, random| by_socket(adapter, place, random, deaf)),
    (58, "polite socket", |adapter, place, random| by_socket(adapter, place, random, polite)),
    (40, "cut off", |adapter, place, random| by_socket(adapter, place, random, cut_off)),
    (30, "no request", |adapter, place, random| by_socket(adapter, place, random, no_request)),
    (30, "garbage after the handshake", |adapter, place, random| by_socket(adapter, place, random, garbage)),
    (30, "half a request", |adapter, place, random| by_socket(adapter, place, random, half)),
    (20, "gone at once", |adapter, place, random| by_socket(adapter, place, random, |_, _| Ok(()))),
    (20, "no TLS", |adapter, _, random| no_tls(adapter.places().tls, random).map_err(|error| error.to_string())),
    (70, "polite client", |adapter, place, random| adapter.visit(place, Manner::Polite, random)),
    (30, "split client", |adapter, place, random| adapter.visit(place, Manner::Split, random)),
    (25, "rude client", |adapter, place, random| adapter.visit(place, Manner::Rude, random)),
    (20, "impatient client", |adapter, place, random| adapter.visit(place, Manner::Impatient, random)),
    (5, "fatal client", |adapter, place, random| adapter.visit(place, Manner::Fatal, random)),
    (20, "misled client", |adapter, place, random| adapter.visit(place, Manner::Misled, random)),
];

/// One visit, of the kind `only` if that is given: what it was, and whether all went as it should.
pub fn one(adapter: &dyn Adapter, only: Option<&str>, random: &mut Random) -> (&'static str, Result<(), String>) {
    let wanted = || KINDS.iter().filter(|(_, name, _)| only.is_none_or(|only| only == *name));
    let mut left = random.below(wanted().map(|(weight, ..)| weight).sum::<usize>().max(1));
    for (weight, name, visit) in wanted() {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => {
                let place = [Place::Tcp, Place::Tcp, Place::Tls, Place::Unix][random.below(4)];
                return (name, visit(adapter, place, random));
            }
        }
    }
    ("none", Err("there is no such visit".to_owned()))
}

fn by_socket(
    adapter: &dyn Adapter,
    place: Place,
    random: &mut Random,
    visit: fn(&mut dyn Stream, &mut Random) -> io::Result<()>,
) -> Result<(), String> {
    let mut stream = open(adapter.places(), place).map_err(|error| error.to_string())?;
    visit(&mut *stream, random).map_err(|error| error.to_string())
}

/// A connection by plain means.
trait Stream: Read + Write {
    /// The socket below goes away with a reset, where there is such a thing.
    fn reset(&mut self);
}

impl Stream for TcpStream {
    fn reset(&mut self) {
        let _ = rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO));
    }
}

impl Stream for UnixStream {
    fn reset(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn reset(&mut self) {
        self.sock.reset();
    }
}

fn open(places: &Places, place: Place) -> io::Result<Box<dyn Stream>> {
    Ok(match place {
        Place::Tcp => Box::new(tcp(places.tcp)?),
        Place::Tls => {
            let name = "localhost".try_into().map_err(io::Error::other)?;
            let tls = ClientConnection::new(places.trust.clone(), name).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(tls, tcp(places.tls)?))
        }
        Place::Unix => {
            let stream = UnixStream::connect(&places.unix)?;
            stream.set_read_timeout(Some(HANG))?;
            stream.set_write_timeout(Some(HANG))?;
            Box::new(stream)
        }
    })
}

fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANG))?;
    stream.set_write_timeout(Some(HANG))?;
    Ok(stream)
}

fn handshake(stream: &mut dyn Stream) -> io::Result<()> {
    stream.write_all(BROWSER_REQUEST)?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head);
    if head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT) {
        Ok(())
    } else {
        Err(io::Error::other(format!("refused: {head}")))
    }
}

/// Sends messages, compares what comes back, and closes.
fn polite(stream: &mut dyn Stream, random: &mut Random) -> io::Result<()> {
    handshake(stream)?;
    for _ in 0..random.below(4) {
        let payload = random_payload(random);
        let (mut frames, mut expected) = (Vec::new(), Vec::new());
        let fragments = if payload.len() < 20 { 1 } else { 1 + random.below(3) };
        frames::put_client_message(&mut frames, Binary, &payload, fragments);
        frames::put_server_message(&mut expected, Binary, &payload);
        stream.write_all(&frames)?;
        let mut answer = vec![0; expected.len()];
        read_past_pings(stream, &mut answer)?;
        if answer != expected {
            return Err(io::Error::other("something else came back"));
        }
    }
    // Close 1000, masked with zeros.
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])?;
    let mut answer = [0; 4];
    read_past_pings(stream, &mut answer)?;
    if answer != [0x88, 2, 0x03, 0xe8] {
        return Err(io::Error::other("no answer to Close"));
    }
    let ended = read_out(stream);
    stream.reset();
    ended
}

/// Reads a frame for which there is just room; a machine that is busy may bring keepalive pings between.
fn read_past_pings(stream: &mut dyn Stream, frame: &mut [u8]) -> io::Result<()> {
    loop {
        stream.read_exact(&mut frame[..2])?;
        if frame[0] != 0x89 {
            return stream.read_exact(&mut frame[2..]);
        }
        let mut payload = vec![0; usize::from(frame[1])];
        stream.read_exact(&mut payload)?;
    }
}

fn random_payload(random: &mut Random) -> Vec<u8> {
    let mut payload = frames::binary(random.len());
    payload[0] = random.below(256) as u8;
    payload
}

/// Reads until the end, whatever it is.
fn read_out(stream: &mut dyn Stream) -> io::Result<()> {
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_hang(&error) => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}

fn is_hang(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Goes away in the midst of a message, with a reset or without.
fn cut_off(stream: &mut dyn Stream, random: &mut Random) -> io::Result<()> {
    handshake(stream)?;
    let mut frames = Vec::new();
    frames::put_client_message(&mut frames, Binary, &random_payload(random), 1);
    let part = 1 + random.below(frames.len());
    stream.write_all(&frames[..part])?;
    if random.below(2) == 0 {
        stream.reset();
    }
    Ok(())
}

/// Sends random bytes where a request should be, or a bad request, and waits for the end.
fn no_request(stream: &mut dyn Stream, random: &mut Random) -> io::Result<()> {
    let mut bytes = if random.below(2) == 0 { b"GET / HTTP/1.1\r\nHost: \0\r\n".to_vec() } else { Vec::new() };
    let len = random.len();
    bytes.extend(random.bytes(len));
    bytes.extend_from_slice(b"\r\n\r\n");
    // The server may be gone before all is written.
    let _ = stream.write_all(&bytes);
    read_out(stream)
}

/// Sends random bytes where frames should be, and waits for the end.
fn garbage(stream: &mut dyn Stream, random: &mut Random) -> io::Result<()> {
    handshake(stream)?;
    let len = random.len();
    let mut bytes = random.bytes(len);
    // A reserved opcode, so that it is refused for certain.
    bytes[0] = 0x83;
    let _ = stream.write_all(&bytes);
    read_out(stream)
}

fn half(stream: &mut dyn Stream, random: &mut Random) -> io::Result<()> {
    let part = random.below(BROWSER_REQUEST.len());
    stream.write_all(&BROWSER_REQUEST[..part])?;
    if random.below(2) == 0 {
        stream.reset();
    }
    Ok(())
}

/// Sends half a request and waits until the server has had enough.
fn silent(stream: &mut dyn Stream, _: &mut Random) -> io::Result<()> {
    stream.write_all(&BROWSER_REQUEST[..40])?;
    read_out(stream)
}

/// Sends and never reads, until the server has had enough.
fn deaf(stream: &mut dyn Stream, random: &mut Random) -> io::Result<()> {
    handshake(stream)?;
    let mut frames = Vec::new();
    frames::put_client_message(&mut frames, Binary, &random_payload(random), 1);
    loop {
        match stream.write(&frames) {
            Ok(n) => {
                let at = n % frames.len();
                frames.rotate_left(at);
            }
            Err(error) if is_hang(&error) => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}

/// Sends random bytes to the server that speaks TLS.
fn no_tls(address: SocketAddr, random: &mut Random) -> io::Result<()> {
    let mut stream = tcp(address)?;
    let len = 600 + random.len();
    let mut bytes = random.bytes(len);
    if random.below(2) == 0 {
        // The head of a handshake record, and then rubbish.
        bytes[..5].copy_from_slice(&[22, 3, 1, 2, 0]);
    }
    let _ = stream.write_all(&bytes);
    read_out(&mut stream)
}

/// A server for clients, of which none gets a proper answer. Its thread stays until the process ends.
pub fn rubbish() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let mut random = Random::new(7);
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.set_read_timeout(Some(HANG));
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let head: &[u8] = if random.below(2) == 0 { b"HTTP/1.1 101 Switching Protocols\r\n" } else { b"" };
            let len = random.len();
            let _ = stream.write_all(&[head, &random.bytes(len), b"\r\n\r\n"].concat());
        }
    });
    Ok(address)
}
