//! Wire transcripts: scripts of what passes in both directions. `tests/vectors/README.md` has the format.

use std::num::NonZeroUsize;
use std::time::Duration;

use ws_proto::deflate::{Deflate, DeflateFrame};
use ws_proto::extension::{Agreement, Extension, Extensions};
use ws_proto::{CloseCode, CloseFrame, Config, Delivery, Kind, Negotiated, Rate, Role, Version};

use crate::dialect::Dialect;
use crate::hex;

/// One script.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// File and title.
    pub name: String,
    /// Which end is under test.
    pub role: Role,
    /// Its settings.
    pub config: Config,
    /// Its settings of compression.
    pub deflate: Deflate,
    /// The extension in use: what a client offered, and a server with these settings agreed to.
    pub extension: Option<String>,
    /// The version of the protocol.
    pub version: Version,
    /// Whether only the core itself can be driven this way, and no adapter.
    pub core_only: bool,
    /// What happens, with line numbers.
    pub steps: Vec<(usize, Step)>,
}

impl Transcript {
    /// What the opening handshake came to.
    ///
    /// # Panics
    /// If a server would not agree to the extension of the script.
    #[must_use]
    pub fn negotiated(&self) -> Negotiated {
        let plain = Dialect::new(self.version).negotiated();
        match &self.extension {
            Some(offer) => plain.with_extension(agreement(self.deflate, offer)),
            None => plain,
        }
    }
}

/// What a server with these settings agrees to; it holds for either end.
///
/// # Panics
/// If it agrees to nothing.
#[must_use]
pub fn agreement(settings: Deflate, offer: &str) -> Agreement {
    let offers = Extension::parse_list([offer.as_bytes()]).expect("an offer");
    let extensions = Extensions::none().with(settings).with(DeflateFrame::new(settings));
    extensions.answer(&offers).unwrap_or_else(|| panic!("{offer:?} is declined"))
}

/// One line of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// The peer's bytes arrive.
    Receive(Vec<u8>),
    /// These bytes come out next.
    Written(Vec<u8>),
    /// Nothing is to be written.
    NothingWritten,
    /// The next event.
    Event(Seen),
    /// A call, and the name of the error it must give.
    Call(Call, Option<String>),
    /// The peer's stream ends.
    Eof,
    /// The transport fails.
    TransportFailed,
    /// Time passes.
    Advance(Duration),
    /// Something that can be asked, and the answer.
    Fact(String, String),
}

/// What the application asks for.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Call {
    Send(Kind, Vec<u8>),
    /// Compressed or not, as the program says.
    SendAs(bool, Kind, Vec<u8>),
    Prepared(Kind, Vec<u8>),
    Start(Kind),
    /// Compressed or not, as the program says.
    StartAs(bool, Kind),
    Piece(Vec<u8>),
    Finish(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Delivery(Delivery),
    Abort,
}

/// An event, in a form that does not depend on how the input was cut.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    /// Pieces of one message that follow each other count as one.
    Chunk {
        kind: Kind,
        first: bool,
        last: bool,
        data: Vec<u8>,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>, Option<Duration>),
    Closing(String),
    Closed(String),
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(bytes) => write!(f, "text {}", hex::show(bytes)),
            Self::Binary(bytes) => write!(f, "binary {}", hex::show(bytes)),
            Self::Chunk { kind, first, last, data } => {
                write!(f, "chunk {kind:?} first={first} last={last} {}", hex::show(data))
            }
            Self::Ping(bytes) => write!(f, "ping {}", hex::show(bytes)),
            Self::Pong(bytes, time) => write!(f, "pong {time:?} {}", hex::show(bytes)),
            Self::Closing(frame) => write!(f, "closing {frame}"),
            Self::Closed(end) => write!(f, "closed {end}"),
        }
    }
}

/// A Close as scripts write it: `1000 "bye"`, `1000`, or `empty`.
#[must_use]
pub fn close_words(frame: &CloseFrame) -> String {
    match (frame.code(), frame.reason()) {
        (CloseCode::NO_STATUS, _) => "empty".into(),
        (code, "") => code.to_string(),
        (code, reason) => format!("{code} {reason:?}"),
    }
}

/// How it ended, as scripts write it.
#[must_use]
pub fn closed_words(closed: &ws_proto::Closed) -> String {
    let words = |frame: &Option<CloseFrame>| frame.as_ref().map_or("none".into(), close_words);
    let clean = if closed.is_clean() { "clean" } else { "unclean" };
    let by = format!("{:?}", closed.by).to_lowercase();
    let (received, sent) = (words(&closed.received), words(&closed.sent));
    format!("{:?} by {by} received {received} sent {sent} code {} {clean}", closed.cause, closed.code())
}

/// All scripts of `tests/vectors`.
///
/// # Panics
/// If a file can't be read.
#[must_use]
pub fn scripts() -> Vec<Transcript> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let files = folder.read_dir().expect("the folder of scripts");
    let mut files: Vec<_> = files.map(|file| file.expect("a file of scripts").path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "txt")) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(file).expect("a file of scripts");
        all.extend(parse(&name, &text).unwrap_or_else(|error| panic!("{error}")));
    }
    assert!(all.len() > 250, "only {} scripts were found", all.len());
    all
}

/// Reads a file of scripts; each begins with a line `== title`.
///
/// # Errors
/// The file, the line and what is wrong with it.
pub fn parse(file: &str, text: &str) -> Result<Vec<Transcript>, String> {
    let mut all: Vec<Transcript> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        let fail = |error: String| format!("{file}:{number}: {error}");
        if let Some(title) = line.strip_prefix("== ") {
            all.push(Transcript {
                name: format!("{file}: {title}"),
                role: Role::Server,
                config: Config::default(),
                deflate: Deflate::default(),
                extension: None,
                version: Version::Rfc6455,
                core_only: false,
                steps: Vec::new(),
            });
            continue;
        }
        let script = all.last_mut().ok_or_else(|| fail("a line before the first title".into()))?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "role" => script.role = role(rest).map_err(fail)?,
            "config" => config(&mut script.config, rest).map_err(fail)?,
            "deflate" => deflate(&mut script.deflate, rest).map_err(fail)?,
            "extension" => script.extension = Some(rest.into()),
            "version" => script.version = rest.parse().map_err(|e| fail(format!("{rest:?}: {e}")))?,
            "core-only" => script.core_only = true,
            _ => script.steps.push((number, step(word, rest).map_err(fail)?)),
        }
    }
    Ok(all)
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            '#' if !quoted => return &line[..at],
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    line
}

fn role(word: &str) -> Result<Role, String> {
    match word {
        "server" => Ok(Role::Server),
        "client" => Ok(Role::Client),
        _ => Err(format!("unknown role {word:?}")),
    }
}

fn config(config: &mut Config, rest: &str) -> Result<(), String> {
    let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = || value.parse::<u64>().map_err(|e| format!("{value:?}: {e}"));
    let time = || if value == "off" { Ok(None) } else { duration(value).map(Some) };
    match key {
        "message" => config.limits.message = number()?,
        "frame" => config.limits.frame = number()?,
        "fragments" => config.limits.fragments = number()? as u32,
        "outgoing" => config.limits.outgoing = number()? as usize,
        "drain" => config.limits.drain = number()? as usize,
        "no-limits" => {
            config.limits.message = u64::MAX;
            config.limits.frame = u64::MAX;
            config.limits.fragments = u32::MAX;
        }
        "chunks" => config.delivery = Delivery::Chunks,
        "manual-pong" => config.manual_pong = true,
        "auto-fragment" => config.auto_fragment = NonZeroUsize::new(number()? as usize),
        "long-lengths" => config.leniency.long_lengths = true,
        "unmasked-frames" => config.leniency.unmasked_frames = true,
        "masked-frames" => config.leniency.masked_frames = true,
        "hixie-binary" => config.leniency.hixie_binary = true,
        "keepalive" => config.timers.keepalive = time()?,
        "pong" => config.timers.pong = time()?,
        "idle" => config.timers.idle = time()?,
        "close" => config.timers.close = time()?,
        "write-stall" => config.timers.write_stall = time()?,
        "lifetime" => config.timers.lifetime = time()?,
        "slowest-message" => {
            config.timers.slowest_message = match value.split_once(' ') {
                Some((rate, grace)) => Some(Rate {
                    bytes_per_second: rate.parse().map_err(|e| format!("{rate:?}: {e}"))?,
                    grace: duration(grace)?,
                }),
                None => None,
            }
        }
        _ => return Err(format!("unknown setting {key:?}")),
    }
    Ok(())
}

fn deflate(settings: &mut Deflate, rest: &str) -> Result<(), String> {
    let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = || value.parse::<usize>().map_err(|e| format!("{value:?}: {e}"));
    match key {
        "min-size" => settings.min_size = number()?,
        "level" => settings.level = number()? as u8,
        "memory-level" => settings.memory_level = number()? as u8,
        "shared-compressor" => settings.shared_compressor = true,
        "idle-release" => settings.idle_release = if value == "off" { None } else { Some(duration(value)?) },
        _ => return Err(format!("unknown setting {key:?}")),
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let number = |digits: &str| digits.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
    if let Some(digits) = text.strip_suffix("ms") {
        number(digits).map(Duration::from_millis)
    } else if let Some(digits) = text.strip_suffix('s') {
        number(digits).map(Duration::from_secs)
    } else {
        Err(format!("a time such as 20s or 5ms expected, not {text:?}"))
    }
}

fn step(word: &str, rest: &str) -> Result<Step, String> {
    Ok(match word {
        ">" => Step::Receive(hex::parse(rest)?),
        "<" if rest == "nothing" => Step::NothingWritten,
        "<" => Step::Written(hex::parse(rest)?),
        "event" => Step::Event(event(rest)?),
        "eof" => Step::Eof,
        "transport-failed" => Step::TransportFailed,
        "advance-clock" => Step::Advance(duration(rest)?),
        "state" | "shutdown" | "timeout" | "buffered" => Step::Fact(word.into(), rest.into()),
        _ => {
            let (rest, error) = match rest.rsplit_once('!') {
                Some((rest, error)) => (rest.trim(), Some(error.trim().to_owned())),
                None => (rest, None),
            };
            Step::Call(call(word, rest)?, error)
        }
    })
}

fn kind(rest: &str) -> Result<(Kind, &str), String> {
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "text" => Ok((Kind::Text, rest.trim())),
        "binary" => Ok((Kind::Binary, rest.trim())),
        _ => Err(format!("text or binary expected, not {word:?}")),
    }
}

fn call(word: &str, rest: &str) -> Result<Call, String> {
    Ok(match word {
        "send" => {
            let (kind, bytes) = kind(rest)?;
            Call::Send(kind, hex::parse(bytes)?)
        }
        "send-compressed" | "send-plain" => {
            let (kind, bytes) = kind(rest)?;
            Call::SendAs(word == "send-compressed", kind, hex::parse(bytes)?)
        }
        "send-prepared" => {
            let (kind, bytes) = kind(rest)?;
            Call::Prepared(kind, hex::parse(bytes)?)
        }
        "start" => Call::Start(kind(rest)?.0),
        "start-compressed" | "start-plain" => Call::StartAs(word == "start-compressed", kind(rest)?.0),
        "piece" => Call::Piece(hex::parse(rest)?),
        "finish" => Call::Finish(hex::parse(rest)?),
        "ping" => Call::Ping(hex::parse(rest)?),
        "pong" => Call::Pong(hex::parse(rest)?),
        "close" if rest == "empty" => Call::Close(None),
        "close" => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let code = code.parse().map_err(|e| format!("{code:?}: {e}"))?;
            let reason = String::from_utf8(hex::parse(reason)?).map_err(|e| e.to_string())?;
            Call::Close(Some((code, reason)))
        }
        "delivery" if rest == "chunks" => Call::Delivery(Delivery::Chunks),
        "delivery" if rest == "messages" => Call::Delivery(Delivery::Messages),
        "abort" => Call::Abort,
        _ => return Err(format!("unknown step {word:?}")),
    })
}

fn event(rest: &str) -> Result<Seen, String> {
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let rest = rest.trim();
    Ok(match word {
        "text" => Seen::Text(hex::parse(rest)?),
        "binary" => Seen::Binary(hex::parse(rest)?),
        "chunk" => {
            let (kind, mut rest) = kind(rest)?;
            let mut flag = |name| match rest.strip_prefix(name) {
                Some(after) => {
                    rest = after.trim_start();
                    true
                }
                None => false,
            };
            let (first, last) = (flag("first"), flag("last"));
            Seen::Chunk { kind, first, last, data: hex::parse(rest)? }
        }
        "ping" => Seen::Ping(hex::parse(rest)?),
        "pong" => match rest.split_once(' ').unwrap_or((rest, "")) {
            (time, rest) if time.ends_with('s') => Seen::Pong(hex::parse(rest)?, Some(duration(time)?)),
            _ => Seen::Pong(hex::parse(rest)?, None),
        },
        "closing" => Seen::Closing(rest.into()),
        "closed" => Seen::Closed(rest.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => return Err(format!("unknown event {word:?}")),
    })
}
