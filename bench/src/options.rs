//! The command line.

use std::time::Duration;

/// What to measure and how long.
#[derive(Clone, Debug)]
pub struct Options {
    pub memory: bool,
    pub echo: bool,
    pub idle: bool,
    /// Fewer and shorter rounds, and no instruction counts.
    pub quick: bool,
    /// Rows whose name matches; `*` stands for anything.
    pub rows: String,
    /// Libraries whose name matches one of these.
    pub peers: Vec<String>,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// A line that says what is wrong with them.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            memory: false,
            echo: false,
            idle: false,
            quick: false,
            rows: "*".to_owned(),
            peers: vec!["*".to_owned()],
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "memory" => options.memory = true,
                "echo" => options.echo = true,
                "idle" => options.idle = true,
                "--quick" => options.quick = true,
                "--rows" => options.rows = value()?,
                "--peers" => options.peers = value()?.split(',').map(str::to_owned).collect(),
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        if !(options.memory || options.echo || options.idle) {
            (options.memory, options.echo, options.idle) = (true, true, true);
        }
        Ok(options)
    }

    /// Whether this row is wanted.
    pub fn wants_row(&self, name: &str) -> bool {
        matches(&self.rows, name)
    }

    /// Whether this library is wanted.
    pub fn wants_peer(&self, name: &str) -> bool {
        self.peers.iter().any(|glob| matches(glob, name))
    }

    /// Rounds in memory, and the time of each library's turn in one.
    pub fn memory_rounds(&self) -> (usize, Duration) {
        if self.quick { (3, Duration::from_millis(8)) } else { (11, Duration::from_millis(20)) }
    }

    /// Rounds over loopback, and the time of each server's turn in one.
    pub fn echo_rounds(&self) -> (usize, Duration) {
        if self.quick { (1, Duration::from_millis(500)) } else { (5, Duration::from_millis(1000)) }
    }
}

/// Whether `name` matches `glob`, where `*` stands for any characters.
fn matches(glob: &str, name: &str) -> bool {
    match glob.split_once('*') {
        None => glob == name,
        Some((before, after)) => name
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))),
    }
}
