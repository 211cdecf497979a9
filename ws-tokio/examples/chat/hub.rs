//! Carries the lines of a [`Room`] to the people in it, without ever waiting for one of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use ws_tokio::Utf8Bytes;

use super::room::{Id, Line, Room};

/// Lines that may wait for one person. Who falls further behind is sent away.
const MAILBOX: usize = 256;

/// The room and a mailbox for each person in it.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Tells that the list of people has changed. However often it does, there is only the latest one to show.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    room: Room,
    mailboxes: HashMap<Id, mpsc::Sender<Utf8Bytes>>,
}

impl Hub {
    /// A place in the room; whoever drops it has left.
    pub(crate) fn join(self: &Arc<Self>) -> Seat {
        let (mailbox, lines) = mpsc::channel(MAILBOX);
        let mut state = self.lock();
        let id = state.room.join();
        state.mailboxes.insert(id, mailbox);
        drop(state);
        let mut people = self.changes.subscribe();
        // The newcomer has not seen the list, either.
        people.mark_changed();
        self.changes.send_replace(());
        Seat { place: Place { id, hub: self.clone() }, lines, people }
    }

    /// How many people are there.
    pub(crate) fn len(&self) -> usize {
        self.lock().room.len()
    }

    fn leave(&self, id: Id) {
        let mut state = self.lock();
        let Some(announcement) = state.remove(id) else { return };
        state.deliver(vec![announcement]);
        drop(state);
        self.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever panicked has not left the room half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts lines into mailboxes. Who has no room left for one is out; gives whether there was such a one.
    fn deliver(&mut self, lines: Vec<Line>) -> bool {
        let mut lost = false;
        let mut lines = VecDeque::from(lines);
        while let Some(line) = lines.pop_front() {
            let text = Utf8Bytes::from(line.text.as_str());
            let full = self.mailboxes.iter().filter(|(id, _)| line.is_for(**id));
            let full = full.filter(|(_, mailbox)| mailbox.try_send(text.clone()).is_err());
            let full: Vec<Id> = full.map(|(id, _)| *id).collect();
            for id in full {
                lost = true;
                lines.extend(self.remove(id));
            }
        }
        lost
    }

    /// Takes somebody out; gives the announcement. Without its mailbox the seat learns that it is out.
    fn remove(&mut self, id: Id) -> Option<Line> {
        self.mailboxes.remove(&id);
        self.room.leave(id)
    }
}

/// One person's place, and what comes to it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) place: Place,
    /// The lines to show. It ends if they were not taken fast enough.
    pub(crate) lines: mpsc::Receiver<Utf8Bytes>,
    /// Changes with the list of people.
    pub(crate) people: watch::Receiver<()>,
}

/// One person's place in the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: Id,
    hub: Arc<Hub>,
}

impl Place {
    /// This person says something.
    pub(crate) fn say(&self, text: &str) {
        let mut state = self.hub.lock();
        let outcome = state.room.hear(self.id, text);
        let lost = state.deliver(outcome.lines);
        drop(state);
        if outcome.renamed || lost {
            self.hub.changes.send_replace(());
        }
    }

    /// Everyone's name, this person's first, one per line.
    pub(crate) fn people(&self) -> String {
        self.hub.lock().room.names_for(self.id).join("\n")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    impl Seat {
        fn read(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.lines.try_recv().ok()).map(|line| line.as_str().to_owned()).collect()
        }

        fn sees_change(&mut self) -> bool {
            let changed = self.people.has_changed().unwrap();
            self.people.mark_unchanged();
            changed
        }
    }

    #[test]
    fn lines_come_to_those_they_are_for() {
        let hub = Arc::new(Hub::default());
        let (mut a, mut b) = (hub.join(), hub.join());
        a.place.say("/nick alice");
        a.place.say("hi");
        assert_eq!(a.read(), ["server: john doe is now alice", "me: hi"]);
        assert_eq!(b.read(), ["server: john doe is now alice", "alice: hi"]);
        assert_eq!(b.place.people(), "john doe\nalice");
    }

    #[test]
    fn changes_of_the_list_are_noticed() {
        let hub = Arc::new(Hub::default());
        let mut a = hub.join();
        assert!(a.sees_change() && !a.sees_change());
        let mut b = hub.join();
        assert!(a.sees_change() && b.sees_change());
        b.place.say("hi");
        assert!(!a.sees_change());
        b.place.say("/nick bob");
        assert!(a.sees_change());
        drop(b);
        assert!(a.sees_change());
        assert_eq!((hub.len(), a.read().pop().unwrap().as_str()), (1, "server: bob left"));
    }

    #[test]
    fn one_who_does_not_read_is_out_and_the_others_go_on() {
        let hub = Arc::new(Hub::default());
        let (mut fast, mut slow) = (hub.join(), hub.join());
        slow.place.say("/nick slow");
        let mut lines = Vec::new();
        for i in 0..MAILBOX + 10 {
            fast.place.say(&i.to_string());
            lines.extend(fast.read());
        }
        assert_eq!(lines.iter().filter(|line| line.starts_with("me: ")).count(), MAILBOX + 10);
        assert_eq!(lines.iter().filter(|line| *line == "server: slow left").count(), 1);
        assert_eq!(hub.len(), 1);
        assert!(fast.sees_change());
        // It still gets what was in the mailbox, then learns that it is out. What it says is not heard.
        assert_eq!(slow.read().len(), MAILBOX);
        assert_eq!(slow.lines.try_recv(), Err(TryRecvError::Disconnected));
        slow.place.say("hello?");
        drop(slow);
        assert_eq!(fast.read(), Vec::<String>::new());
    }

    #[test]
    fn several_can_fall_behind_at_once() {
        let hub = Arc::new(Hub::default());
        let mut fast = hub.join();
        let slow: Vec<Seat> = (0..20).map(|_| hub.join()).collect();
        for _ in 0..MAILBOX * 2 {
            fast.place.say("more");
            fast.read();
        }
        assert_eq!(hub.len(), 1);
        drop(slow);
        assert_eq!(hub.len(), 1);
    }
}
