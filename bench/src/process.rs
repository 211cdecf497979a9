//! A server process as `/proc` shows it.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use crate::memory::program;

/// A running server; it ends when this is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts this program again as the server of that library, with TLS or without.
    ///
    /// # Errors
    ///
    /// When it can't be started or doesn't say its port.
    pub fn start(name: &str, tls: bool) -> io::Result<Self> {
        Self::start_program(&program(""), name, tls)
    }

    /// Starts the program that counts what is on the heap; see [`heap`](Self::heap).
    ///
    /// # Errors
    ///
    /// When it can't be started or doesn't say its port.
    pub fn start_counting(name: &str, tls: bool) -> io::Result<Self> {
        Self::start_program(&program("-allocations"), name, tls)
    }

    fn start_program(program: &Path, name: &str, tls: bool) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", name])
            .args(tls.then_some("tls"))
            // One thread for tasks, as the other runtimes have.
            .env("ASYNC_STD_THREAD_COUNT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut server = Self { child, port: 0, stdout: BufReader::new(stdout) };
        server.port = server.number()?;
        Ok(server)
    }

    /// The bytes on the heap now.
    ///
    /// # Errors
    ///
    /// When the process has ended, or doesn't count.
    pub fn heap(&mut self) -> io::Result<i64> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(b"\n")?;
        self.number()
    }

    /// The number that it says next.
    fn number<T: FromStr>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        line.trim().parse().map_err(|_| io::Error::other(format!("it says {line:?}")))
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
