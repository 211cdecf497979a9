//! The rules of the chat, as plain data: who is there, what they are called, and who gets which line.

use std::collections::BTreeMap;

/// What somebody without a name is called. Any number of people may share it.
pub(crate) const UNNAMED: &str = "john doe";
/// Names are cut to this many characters.
pub(crate) const MAX_NAME: usize = 32;
/// Nobody gets these: lines begin with them.
const RESERVED: [&str; 2] = ["me", "server"];

/// Somebody in the room. Never used twice; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u64);

/// Who gets a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Everyone,
    Only(Id),
    EveryoneBut(Id),
}

/// One line of text, for some of the people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) to: To,
    pub(crate) text: String,
}

impl Line {
    fn new(to: To, text: String) -> Self {
        Self { to, text }
    }

    /// Whether `id` gets it.
    pub(crate) fn is_for(&self, id: Id) -> bool {
        match self.to {
            To::Everyone => true,
            To::Only(one) => one == id,
            To::EveryoneBut(one) => one != id,
        }
    }
}

/// What comes of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) lines: Vec<Line>,
    /// Whether somebody is called by another name now.
    pub(crate) renamed: bool,
}

/// The people in the room, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Room {
    names: BTreeMap<Id, String>,
    next: u64,
}

impl Room {
    /// Somebody comes in, without a name. Nothing is announced.
    pub(crate) fn join(&mut self) -> Id {
        let id = Id(self.next);
        self.next += 1;
        self.names.insert(id, UNNAMED.to_owned());
        id
    }

    /// Somebody leaves; gives the announcement.
    pub(crate) fn leave(&mut self, id: Id) -> Option<Line> {
        let name = self.names.remove(&id)?;
        Some(Line::new(To::Everyone, format!("server: {name} left")))
    }

    /// How many people there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// All names: first that of `id`, then those of the others.
    pub(crate) fn names_for(&self, id: Id) -> Vec<&str> {
        let others = self.names.iter().filter(|(other, _)| **other != id);
        self.names.get(&id).into_iter().chain(others.map(|(_, name)| name)).map(String::as_str).collect()
    }

    /// Somebody said something: `/nick NAME`, or a message for everyone.
    pub(crate) fn hear(&mut self, id: Id, text: &str) -> Outcome {
        let text = one_line(text);
        let text = text.trim();
        let Some(name) = self.names.get(&id) else { return Outcome::default() };
        if text.is_empty() {
            return Outcome::default();
        }
        match text.strip_prefix("/nick") {
            Some(wanted) if wanted.is_empty() || wanted.starts_with(char::is_whitespace) => self.rename(id, wanted),
            _ => Outcome {
                lines: vec![
                    Line::new(To::Only(id), format!("me: {text}")),
                    Line::new(To::EveryoneBut(id), format!("{name}: {text}")),
                ],
                renamed: false,
            },
        }
    }

    fn rename(&mut self, id: Id, wanted: &str) -> Outcome {
        let only = |text: String| Outcome { lines: vec![Line::new(To::Only(id), text)], renamed: false };
        let mut name = clean_name(wanted);
        if name.is_empty() {
            return only("server: /nick NAME gives you a name".to_owned());
        }
        while self.is_taken(id, &name) {
            name.push('_');
        }
        let Some(old) = self.names.insert(id, name.clone()) else { return Outcome::default() };
        if old == name {
            return only(format!("server: you are {name}"));
        }
        let announcement = Line::new(To::Everyone, format!("server: {old} is now {name}"));
        Outcome { lines: vec![announcement], renamed: true }
    }

    /// Whether `id` can't be called `name`.
    fn is_taken(&self, id: Id, name: &str) -> bool {
        RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
            || self.names.iter().any(|(other, taken)| *other != id && taken == name)
    }
}

/// The text without line ends and other control characters: it must not look like two lines to those who read lines.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// A name that can't be taken for anything else: no colon, which ends names in a line; nothing invisible, by which
/// two names could look the same; spaces only between words.
fn clean_name(wanted: &str) -> String {
    let visible: String = wanted.chars().filter(|c| *c != ':' && !is_invisible(*c)).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    words.join(" ").chars().take(MAX_NAME).collect::<String>().trim_end().to_owned()
}

/// Control characters apart from white space, marks of direction, and characters of no width.
fn is_invisible(c: char) -> bool {
    let code = u32::from(c);
    (c.is_control() && !c.is_whitespace())
        || matches!(code, 0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x180b..=0x180f | 0x200b..=0x200f)
        || matches!(code, 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0 | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room<const N: usize>() -> (Room, [Id; N]) {
        let mut room = Room::default();
        let ids = std::array::from_fn(|_| room.join());
        (room, ids)
    }

    /// What `id` reads of it.
    fn read(outcome: &Outcome, id: Id) -> Vec<&str> {
        outcome.lines.iter().filter(|line| line.is_for(id)).map(|line| line.text.as_str()).collect()
    }

    fn named<const N: usize>(names: [&str; N]) -> (Room, [Id; N]) {
        let (mut room, ids) = room::<N>();
        for (id, name) in ids.iter().zip(names) {
            room.hear(*id, &format!("/nick {name}"));
        }
        (room, ids)
    }

    #[test]
    fn the_unnamed_are_john_doe() {
        let (mut room, [a, b]) = room();
        assert_eq!(room.names_for(a), ["john doe", "john doe"]);
        let outcome = room.hear(a, "hi");
        assert_eq!(read(&outcome, a), ["me: hi"]);
        assert_eq!(read(&outcome, b), ["john doe: hi"]);
        assert!(!outcome.renamed);
    }

    #[test]
    fn a_rename_is_announced_to_everyone() {
        let (mut room, [a, b]) = room();
        let outcome = room.hear(a, "/nick alice");
        assert!(outcome.renamed);
        for id in [a, b] {
            assert_eq!(read(&outcome, id), ["server: john doe is now alice"]);
        }
        assert_eq!(read(&room.hear(a, "hi"), b), ["alice: hi"]);
        assert_eq!(room.names_for(b), ["john doe", "alice"]);
    }

    #[test]
    fn a_taken_name_gets_underscores_until_it_is_free() {
        let (mut room, [a, b, c]) = named(["bob", "bob", "bob"]);
        assert_eq!(room.names_for(a), ["bob", "bob_", "bob__"]);
        assert_eq!(read(&room.hear(c, "/nick bob_"), a), Vec::<&str>::new());
        assert_eq!(room.names_for(c), ["bob__", "bob", "bob_"]);
        room.hear(a, "/nick carol");
        assert_eq!(read(&room.hear(b, "/nick bob"), c), ["server: bob_ is now bob"]);
    }

    #[test]
    fn the_name_of_the_unnamed_can_be_taken_once() {
        let (mut room, [a, b]) = named(["alice", ""]);
        assert_eq!(read(&room.hear(a, "/nick john doe"), b), ["server: alice is now john doe_"]);
    }

    #[test]
    fn ones_own_name_is_no_news() {
        let (mut room, [a, b]) = named(["alice", "bob"]);
        let outcome = room.hear(a, "/nick alice");
        assert!(!outcome.renamed);
        assert_eq!(read(&outcome, a), ["server: you are alice"]);
        assert!(read(&outcome, b).is_empty());
    }

    #[test]
    fn nobody_is_the_server_or_me() {
        let (room, [a, ..]) = named(["server", "me", "SERVER:", "m\u{200b}e"]);
        assert_eq!(room.names_for(a), ["server_", "me_", "SERVER_", "me__"]);
    }

    #[test]
    fn names_are_cleaned() {
        for (wanted, name) in [
            ("  alice  ", "alice"),
            ("alice   in\twonderland", "alice in wonderland"),
            ("server: hi", "server hi"),
            ("al\u{202e}ice\u{0}", "alice"),
            ("Ælfrēd Δ 💬", "Ælfrēd Δ 💬"),
        ] {
            assert_eq!(clean_name(wanted), name);
        }
        assert_eq!(clean_name(&"é".repeat(100)).chars().count(), MAX_NAME);
        let cut = clean_name(&format!("{} b", "a".repeat(MAX_NAME - 1)));
        assert_eq!(cut, "a".repeat(MAX_NAME - 1));
    }

    #[test]
    fn nick_without_a_name_is_explained() {
        let (mut room, [a, b]) = room();
        for text in ["/nick", "/nick ", "/nick :", "/nick \u{200b}"] {
            let outcome = room.hear(a, text);
            assert_eq!(read(&outcome, a), ["server: /nick NAME gives you a name"]);
            assert!(read(&outcome, b).is_empty());
        }
        assert_eq!(read(&room.hear(a, "/nickname"), b), ["john doe: /nickname"]);
        assert_eq!(read(&room.hear(a, "/shrug"), b), ["john doe: /shrug"]);
    }

    #[test]
    fn a_message_is_one_line() {
        let (mut room, [a, b]) = room();
        assert_eq!(read(&room.hear(a, "hi\r\nserver: b left\u{2028}x\u{85}"), b), ["john doe: hi  server: b left x"]);
        for text in ["", " ", "\n\t"] {
            assert_eq!(room.hear(a, text), Outcome::default());
        }
    }

    #[test]
    fn leaving_is_announced_once() {
        let (mut room, [a, b]) = named(["alice", "bob"]);
        let line = room.leave(a).unwrap();
        assert_eq!((line.to, line.text.as_str()), (To::Everyone, "server: alice left"));
        assert_eq!(room.leave(a), None);
        assert_eq!(room.hear(a, "hello?"), Outcome::default());
        assert_eq!((room.len(), room.names_for(b)), (1, vec!["bob"]));
        // The name is free again.
        let c = room.join();
        assert_eq!(read(&room.hear(c, "/nick alice"), b), ["server: john doe is now alice"]);
    }
}
