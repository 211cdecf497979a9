//! One end of a compressed connection, driven over a pipe by `tests/deflate`, which hold another DEFLATE against it.
//!
//! A request is a line of words, the last of them a length, and so many bytes; so is the answer.
//!
//! | request | answer |
//! | --- | --- |
//! | `open ROLE chunks or messages LEVEL MEMORY own or shared`, an offer | `ok` |
//! | `inflate READ FRAME`, a payload: cut into frames of FRAME bytes, which arrive in reads of READ bytes | `message`, `closed CODE` |
//! | `deflate whole, prepared, pieces or plain SIZE`, a message: in pieces of SIZE bytes | `compressed` or `plain`, the payload |
//! | `pause` for 100 seconds | `ok` |
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, Read, Write};
use std::time::Duration;

use ws_proto::connection::{Event, Prepared};
use ws_proto::deflate::Deflate;
use ws_proto::{Config, Connection, Delivery, Input, Instant, IntoMessage, Kind, Role};
use ws_tests::deflate::connection;
use ws_tests::wire::{frame, frames};

struct Peer {
    conn: Connection,
    now: Instant,
}

type Answer = (String, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut peer = None;
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (len, words) = words.split_last().ok_or("an empty line")?;
        let mut bytes = vec![0; len.parse()?];
        input.read_exact(&mut bytes)?;
        let (answer, body) = answer(&mut peer, words, &bytes)?;
        writeln!(output, "{answer} {}", body.len())?;
        output.write_all(&body)?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn answer(peer: &mut Option<Peer>, words: &[&str], bytes: &[u8]) -> Result<Answer, Box<dyn Error>> {
    if let ["open", words @ ..] = words {
        *peer = Some(open(words, str::from_utf8(bytes)?)?);
        return Ok(("ok".into(), Vec::new()));
    }
    let peer = peer.as_mut().ok_or("nothing is open")?;
    match words {
        ["inflate", read, size] => Ok(peer.inflate(bytes, read.parse()?, size.parse()?)),
        ["deflate", how, size] => peer.deflate(how, bytes, size.parse()?),
        ["pause"] => {
            peer.now = peer.now.saturating_add(Duration::from_secs(100));
            peer.conn.handle_timeout(peer.now);
            peer.poll(&mut []);
            Ok(("ok".into(), Vec::new()))
        }
        _ => Err(format!("unknown request {words:?}").into()),
    }
}

fn open(words: &[&str], offer: &str) -> Result<Peer, Box<dyn Error>> {
    let [role, delivery, level, memory, compressor] = words else { return Err("open what?".into()) };
    let mut settings = Deflate::default();
    settings.level = level.parse()?;
    settings.memory_level = memory.parse()?;
    settings.shared_compressor = *compressor == "shared";
    settings.min_size = 0;
    let mut config = Config::default();
    config.timers = ws_proto::Timers::off();
    config.limits.fragments = u32::MAX;
    config.limits.outgoing = usize::MAX;
    if *delivery == "chunks" {
        config.delivery = Delivery::Chunks;
    }
    let role = if *role == "client" { Role::Client } else { Role::Server };
    let mut peer = Peer { conn: connection(role, settings, offer, config), now: Instant::from_secs(1) };
    peer.poll(&mut []);
    Ok(peer)
}

impl Peer {
    /// The messages in these bytes, one behind the other, and whether one was finished.
    fn poll(&mut self, bytes: &mut [u8]) -> (Vec<u8>, bool) {
        let (mut out, mut done) = (Vec::new(), false);
        let mut input = Input::new(bytes);
        while let Some(event) = self.conn.poll(self.now, &mut input) {
            match event {
                Event::Binary(data) => {
                    out.extend_from_slice(&data);
                    done = true;
                }
                Event::Chunk(chunk) => {
                    out.extend_from_slice(&chunk.data);
                    done |= chunk.last;
                }
                _ => {}
            }
        }
        (out, done)
    }

    fn written(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = self.conn.outgoing().flatten().copied().collect();
        self.conn.advance(self.now, bytes.len());
        bytes
    }

    fn inflate(&mut self, payload: &[u8], read: usize, size: usize) -> Answer {
        let from = self.conn.role().peer();
        let mut parts: Vec<&[u8]> = payload.chunks(size.max(1)).collect();
        if parts.is_empty() {
            parts.push(payload);
        }
        let mut wire = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let fin = if i + 1 == parts.len() { 0x80 } else { 0 };
            wire.extend(frame(from, fin | if i == 0 { 0x42 } else { 0 }, part));
        }
        let (mut message, mut done) = (Vec::new(), false);
        for piece in wire.chunks_mut(read.max(1)) {
            let (bytes, last) = self.poll(piece);
            message.extend(bytes);
            done |= last;
        }
        if done {
            return ("message".into(), message);
        }
        let close = frames(&self.written()).0.pop();
        let code = close.and_then(|close| close.payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
        (format!("closed {}", code.unwrap_or(0)), message)
    }

    fn deflate(&mut self, how: &str, message: &[u8], size: usize) -> Result<Answer, Box<dyn Error>> {
        match how {
            "whole" => self.conn.send(message).map_err(|e| e.without_message())?,
            "plain" => self.conn.send(message.compress(false)).map_err(|e| e.without_message())?,
            "prepared" => self.conn.send_prepared(&Prepared::new(message))?,
            "pieces" => {
                let mut writer = self.conn.start_message(Kind::Binary)?;
                for piece in message.chunks(size.max(1)) {
                    writer.write(piece)?;
                }
                writer.finish(b"")?;
            }
            _ => return Err(format!("unknown way {how}").into()),
        }
        let all = frames(&self.written()).0;
        let marked = all.first().is_some_and(|frame| frame.rsv == 4);
        if all.iter().skip(1).any(|frame| frame.rsv != 0 || frame.opcode != 0) {
            return Err("a frame behind the first is marked".into());
        }
        let payload = all.into_iter().flat_map(|frame| frame.payload).collect();
        Ok((if marked { "compressed" } else { "plain" }.into(), payload))
    }
}
