//! A server process as `/proc` shows it.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; it ends when this is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts this program again as the server of that library.
    ///
    /// # Errors
    ///
    /// When it can't be started or doesn't say its port.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line.trim().parse();
        let port = port.map_err(|_| io::Error::other(format!("{name} doesn't serve: {line:?}")))?;
        Ok(Self { child, port })
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processor time of all threads, in user and system mode.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn processor_time(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().unwrap_or_default();
            nanoseconds += first.parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The bytes in memory now, counted exactly.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn resident(&self) -> io::Result<u64> {
        self.kibibytes("smaps_rollup", "Rss:")
    }

    /// The most bytes that were in memory.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn peak_resident(&self) -> io::Result<u64> {
        self.kibibytes("status", "VmHWM:")
    }

    fn kibibytes(&self, file: &str, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next());
        let value = value.ok_or_else(|| io::Error::other(format!("no {name} in {file}")))?;
        Ok(value.parse::<u64>().map_err(io::Error::other)? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
