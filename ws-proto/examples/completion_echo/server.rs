//! The loop: takes completions, lets the peers they belong to go on, keeps their deadlines.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant as StdInstant};

use ws_proto::handshake::{ServerConfig, ServerHandshake};
use ws_proto::{Config, Instant};

use super::peer::{Buffers, Peer};
use super::queue::{Completion, Queue, Token};

/// Stands for the listener in the list of deadlines.
const LISTENER: Token = 0;
/// How long to wait after the system had no socket for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An echo server on a completion queue.
pub(crate) struct Server {
    queue: Box<dyn Queue>,
    peers: HashMap<Token, Peer>,
    /// Every deadline, earliest first. The first one ends the wait for completions.
    deadlines: BTreeSet<(Instant, Token)>,
    buffers: Buffers,
    config: Arc<ServerConfig>,
    listening: bool,
    stop: Stop,
    /// The machines take the time as a parameter; this is its origin.
    epoch: StdInstant,
}

/// Ends a server, from any thread.
#[derive(Clone)]
pub(crate) struct Stop {
    wanted: Arc<AtomicBool>,
    waker: Waker,
}

impl Stop {
    /// Ends it after a word to everybody who is connected.
    pub(crate) fn stop(&self) {
        self.wanted.store(true, Ordering::Release);
        self.waker.wake_by_ref();
    }
}

impl Server {
    /// A server on a queue that has a listener.
    pub(crate) fn new(queue: Box<dyn Queue>, mut config: Config) -> Self {
        // `peer.rs` bounds the queue of the machine by not reading; what a read has completed is then always taken.
        config.limits.outgoing = usize::MAX;
        Self {
            peers: HashMap::new(),
            deadlines: BTreeSet::new(),
            buffers: Buffers::default(),
            config: Arc::new(ServerConfig::from(config)),
            listening: true,
            stop: Stop { wanted: Arc::default(), waker: queue.waker() },
            epoch: StdInstant::now(),
            queue,
        }
    }

    /// What ends it.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Serves until it is stopped and the last peer has gone.
    ///
    /// # Errors
    /// If the queue is broken.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut completions = Vec::new();
        self.queue.accept();
        while self.listening || !self.peers.is_empty() {
            let now = self.now();
            let timeout = self.deadlines.first().map(|(at, _)| at.duration_since(now));
            self.queue.wait(timeout, &mut completions)?;
            // One look at the clock per turn is enough for deadlines of seconds.
            let now = self.now();
            if self.listening && self.stop.wanted.load(Ordering::Acquire) {
                self.shut_down(now);
            }
            for completion in completions.drain(..) {
                self.complete(completion, now);
            }
            // Deadlines come last: the sign of life that one waits for may just have come.
            self.expire(now);
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_duration(self.epoch.elapsed())
    }

    fn complete(&mut self, completion: Completion, now: Instant) {
        match completion {
            Completion::Accepted(Ok(token)) if self.listening => {
                let handshake = ServerHandshake::new(now, self.config.clone());
                let stall = self.config.connection.timers.write_stall;
                self.peers.insert(token, Peer::new(token, handshake, stall));
                self.submit(token, now);
                self.queue.accept();
            }
            Completion::Accepted(Ok(late)) => self.queue.close(late),
            // No file descriptors, for example.
            Completion::Accepted(Err(_)) => {
                self.deadlines.insert((now.saturating_add(ACCEPT_PAUSE), LISTENER));
            }
            Completion::Read(token, result, mut buffer) => {
                if let Some(peer) = self.peers.get_mut(&token) {
                    peer.has_read(now, result, &mut buffer);
                }
                self.buffers.put(buffer);
                self.submit(token, now);
            }
            Completion::Written(token, result, bytes) => {
                if let Some(peer) = self.peers.get_mut(&token) {
                    peer.has_written(now, result, bytes);
                }
                self.submit(token, now);
            }
        }
    }

    /// Lets a peer submit what it can, and takes note of its deadline.
    fn submit(&mut self, token: Token, now: Instant) {
        let Some(peer) = self.peers.get_mut(&token) else { return };
        if peer.submit(now, &mut *self.queue, &mut self.buffers) {
            peer.unschedule(&mut self.deadlines);
            self.peers.remove(&token);
            self.queue.close(token);
        } else {
            peer.schedule(&mut self.deadlines);
        }
    }

    /// Tells every machine whose deadline has come.
    fn expire(&mut self, now: Instant) {
        while let Some(&(at, token)) = self.deadlines.first() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            if token == LISTENER {
                self.queue.accept();
            } else if let Some(peer) = self.peers.get_mut(&token) {
                peer.expire(now, &mut *self.queue, &mut self.buffers);
                self.submit(token, now);
            }
        }
    }

    /// Takes nobody in any more and says goodbye to everyone. The closing handshake has a deadline, so `run` ends.
    fn shut_down(&mut self, now: Instant) {
        self.listening = false;
        let tokens: Vec<Token> = self.peers.keys().copied().collect();
        for token in tokens {
            if let Some(peer) = self.peers.get_mut(&token) {
                peer.go_away(now);
                self.submit(token, now);
            }
        }
    }
}
