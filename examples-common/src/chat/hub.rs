//! Carries the lines of a [`Room`] to the people in it, without ever waiting for one of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender, bounded};
use ws_adapter::ws_proto::Utf8Bytes;

use super::room::{Id, Line, Room};

/// Lines that may wait for one person. Who falls further behind is sent away.
const MAILBOX: usize = 256;

/// The room and a mailbox for each person in it.
#[derive(Debug, Default)]
pub struct Hub {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    room: Room,
    mailboxes: HashMap<Id, Mailbox>,
}

/// What comes to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A line to show.
    Line(Utf8Bytes),
    /// The list of people has changed. However often it does, there is only the latest one to show:
    /// [`Place::people`].
    People,
}

/// Where news wait for somebody.
#[derive(Debug)]
struct Mailbox {
    news: Sender<News>,
    /// Whether a change of the list was told and the list not looked at since. It is not told twice, so that it takes one
    /// place at most, which is not one of those for lines.
    told: bool,
}

impl Mailbox {
    /// Says whether there was room.
    fn put(&self, text: Utf8Bytes) -> bool {
        self.news.len() < MAILBOX + usize::from(self.told) && self.news.try_send(News::Line(text)).is_ok()
    }

    fn tell(&mut self) {
        if !self.told {
            self.told = self.news.try_send(News::People).is_ok();
        }
    }
}

impl Hub {
    /// A place in the room; whoever drops it has left.
    pub fn join(self: &Arc<Self>) -> Seat {
        let (sender, news) = bounded(MAILBOX + 1);
        let mut state = self.lock();
        let id = state.room.join();
        state.mailboxes.insert(id, Mailbox { news: sender, told: false });
        // The newcomer has not seen the list, either.
        state.tell();
        drop(state);
        Seat { place: Place { id, hub: self.clone() }, news }
    }

    /// How many people are there.
    pub fn len(&self) -> usize {
        self.lock().room.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn leave(&self, id: Id) {
        let mut state = self.lock();
        let Some(announcement) = state.remove(id) else { return };
        state.deliver(vec![announcement]);
        state.tell();
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
            let full = full.filter(|(_, mailbox)| !mailbox.put(text.clone()));
            let full: Vec<Id> = full.map(|(id, _)| *id).collect();
            for id in full {
                lost = true;
                lines.extend(self.remove(id));
            }
        }
        lost
    }

    /// Tells everyone that the list of people has changed.
    fn tell(&mut self) {
        self.mailboxes.values_mut().for_each(Mailbox::tell);
    }

    /// Takes somebody out; gives the announcement. Without its mailbox the seat learns that it is out.
    fn remove(&mut self, id: Id) -> Option<Line> {
        self.mailboxes.remove(&id);
        self.room.leave(id)
    }
}

/// One person's place, and what comes to it.
#[derive(Debug)]
pub struct Seat {
    /// The place.
    pub place: Place,
    /// What comes to it. It ends if the lines were not taken fast enough, and when this person has left.
    pub news: Receiver<News>,
}

/// One person's place in the room, until it is dropped.
#[derive(Debug)]
pub struct Place {
    id: Id,
    hub: Arc<Hub>,
}

impl Place {
    /// This person says something.
    pub fn say(&self, text: &str) {
        let mut state = self.hub.lock();
        let outcome = state.room.hear(self.id, text);
        let lost = state.deliver(outcome.lines);
        if outcome.renamed || lost {
            state.tell();
        }
    }

    /// This person leaves. Nothing comes to the seat any more, and what is said there is not heard.
    pub fn leave(&self) {
        self.hub.leave(self.id);
    }

    /// Everyone's name, this person's first, one per line.
    pub fn people(&self) -> String {
        let mut state = self.hub.lock();
        if let Some(mailbox) = state.mailboxes.get_mut(&self.id) {
            mailbox.told = false;
        }
        state.room.names_for(self.id).join("\n")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use async_channel::TryRecvError;

    use super::*;

    impl Seat {
        /// Takes what has come: the lines, and how often a change of the list was told.
        fn take(&mut self) -> (Vec<String>, usize) {
            let (mut lines, mut changes) = (Vec::new(), 0);
            while let Ok(news) = self.news.try_recv() {
                match news {
                    News::Line(line) => lines.push(line.as_str().to_owned()),
                    News::People => {
                        changes += 1;
                        self.place.people();
                    }
                }
            }
            (lines, changes)
        }

        fn read(&mut self) -> Vec<String> {
            self.take().0
        }

        fn sees_change(&mut self) -> bool {
            let changes = self.take().1;
            assert!(changes < 2);
            changes > 0
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
        assert_eq!(a.take(), (vec!["server: bob left".to_owned()], 1));
        assert_eq!((hub.len(), hub.is_empty()), (1, false));
    }

    #[test]
    fn changes_are_told_once_until_somebody_looks() {
        let hub = Arc::new(Hub::default());
        let mut a = hub.join();
        for i in 0..MAILBOX / 2 {
            a.place.say(&format!("/nick {i}"));
        }
        let (lines, changes) = a.take();
        assert_eq!((lines.len(), changes), (MAILBOX / 2, 1));
        assert_eq!(a.place.people(), (MAILBOX / 2 - 1).to_string());
    }

    #[test]
    fn one_who_does_not_look_at_the_list_has_as_much_room_for_lines() {
        let hub = Arc::new(Hub::default());
        let (mut fast, other) = (hub.join(), hub.join());
        assert_eq!(other.news.try_recv(), Ok(News::People));
        for _ in 0..10 {
            for i in 0..MAILBOX {
                fast.place.say(&format!("/nick {i}"));
                fast.read();
            }
            while other.news.try_recv().is_ok() {}
        }
        assert_eq!(hub.len(), 2);
    }

    #[test]
    fn one_who_does_not_read_is_out_and_the_others_go_on() {
        let hub = Arc::new(Hub::default());
        let (mut fast, mut slow) = (hub.join(), hub.join());
        slow.place.say("/nick slow");
        fast.read();
        let (mut lines, mut changes) = (Vec::new(), 0);
        for i in 0..MAILBOX + 10 {
            fast.place.say(&i.to_string());
            let (more, change) = fast.take();
            lines.extend(more);
            changes += change;
        }
        assert_eq!(lines.iter().filter(|line| line.starts_with("me: ")).count(), MAILBOX + 10);
        assert_eq!(lines.iter().filter(|line| *line == "server: slow left").count(), 1);
        assert_eq!((hub.len(), changes), (1, 1));
        // It still gets what was in the mailbox, then learns that it is out. What it says is not heard.
        assert_eq!(slow.read().len(), MAILBOX);
        assert_eq!(slow.news.try_recv(), Err(TryRecvError::Closed));
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
