//! A chat server and its web page, on one port.
//!
//! ```sh
//! cargo run --release -p ws-blocking --example chat_blocking
//! ```
//!
//! Then open <http://127.0.0.1:8181/> in as many windows as you like. `/nick NAME` gives you a name. On the console,
//! `users` prints how many people there are and `quit` ends the server. With `--versions all` programs that speak an old
//! version of the protocol can take part.
//!
//! What is said, to whom and by whom is in `examples-common/src/chat`, with the protocol that the page speaks.

mod common;

use std::error::Error;
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Instant;

use common::server;
use examples_common::chat::{
    Farewell, GOODBYE, Hub, Mail, NO_ROOM, News, Options, Pace, Place, Seat, TEXT_ONLY, TOO_SLOW, console, decide,
    wants_people,
};
use examples_common::{Parser, at_end};
use ws_blocking::{Message, Receiver, Sender, WebSocket};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let hub = Arc::new(Hub::default());
    let server = server(&options.server, options.config()?)?;
    let handle = server.handle();
    let quit = move || handle.shutdown(GOODBYE);
    at_end(quit.clone())?;
    println!("listening on {}", options.server.url("http", &server.local_addr()?, "/"));
    console(hub.clone(), quit);
    server.decide(|request, _| decide(request)).serve(move |socket, _| session(socket, hub.join()));
    options.server.clean_up()?;
    Ok(())
}

/// One person's visit. Two threads: while a slow reader keeps us from telling, we still listen, and notice if he goes.
fn session(socket: WebSocket, seat: Seat) {
    let wants_people = wants_people(socket.subprotocol(), socket.negotiated());
    let Seat { place, news } = seat;
    let (mut receiver, sender) = socket.split();
    thread::scope(|scope| {
        let teller = Builder::new().spawn_scoped(scope, || {
            if let Some((code, reason)) = tell(&sender, &place, &news, wants_people) {
                let _ = sender.close(code, reason);
            }
        });
        let farewell = match teller {
            Ok(_) => listen(&mut receiver, &place),
            Err(_) => Some(NO_ROOM),
        };
        if let Some((code, reason)) = farewell {
            let _ = sender.start_close(code, reason);
        }
        // It ends the other thread, too.
        place.leave();
        // Until the end we have to receive: the answer to our Close and the deadline for it come that way.
        while let Ok(Some(_)) = receiver.recv() {}
    });
}

/// Hears what a person says, at a bearable pace. Gives `None` if the connection has ended by itself.
fn listen(receiver: &mut Receiver, place: &Place) -> Option<Farewell> {
    let (start, mut pace) = (Instant::now(), Pace::default());
    while let Ok(Some(message)) = receiver.recv() {
        let Message::Text(text) = message else { return Some(TEXT_ONLY) };
        place.say(text.as_str());
        thread::sleep(pace.line(start.elapsed()));
    }
    None
}

/// Tells a person what is said, and who is there. Gives `None` if the connection has ended by itself.
fn tell(sender: &Sender, place: &Place, news: &Mail<News>, wants_people: bool) -> Option<Farewell> {
    while let Ok(news) = news.recv_blocking() {
        let sent = match news {
            News::Line(line) => sender.send(line),
            News::People if wants_people => sender.send(place.people().into_bytes()),
            News::People => Ok(()),
        };
        if sent.is_err() {
            return None;
        }
    }
    Some(TOO_SLOW)
}
