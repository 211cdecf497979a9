//! One person's visit, on any runtime.

use std::future::poll_fn;
use std::time::Duration;

use futures_lite::future::{or, zip};
use ws_adapter::ws_proto::Message;
use ws_adapter::{Receiver, Runtime, Sender, Transfer, WebSocket};

use super::{Farewell, Mail, News, Pace, Place, Seat, TEXT_ONLY, TOO_SLOW, wants_people};

/// One person's visit.
pub async fn session<T, R: Transfer<T>>(socket: WebSocket<T, R>, seat: Seat) {
    let wants_people = wants_people(socket.subprotocol(), socket.negotiated());
    let Seat { place, news } = seat;
    let (mut receiver, sender) = socket.split();
    // Side by side: while a slow reader keeps us from telling, we still listen, and notice if he goes.
    let farewell = or(listen(&mut receiver, &place), tell(&sender, &place, news, wants_people)).await;
    drop(place);
    if let Some((code, reason)) = farewell {
        // Until the end we have to listen: the answer to our Close and the deadline for it come that way.
        let rest = async { while receiver.recv().await.is_some() {} };
        let _ = zip(sender.close(code, reason), rest).await;
    }
}

/// Hears what a person says, at a bearable pace. Gives `None` if the connection has ended by itself.
async fn listen<T, R: Transfer<T>>(receiver: &mut Receiver<T, R>, place: &Place) -> Option<Farewell> {
    let (start, mut pace) = (R::origin(), Pace::default());
    while let Some(message) = receiver.recv().await {
        let Message::Text(text) = message else { return Some(TEXT_ONLY) };
        place.say(text.as_str());
        let wait = pace.line(R::elapsed(start));
        if !wait.is_zero() {
            sleep::<R>(wait).await;
        }
    }
    None
}

/// Tells a person what is said, and who is there. Gives `None` if the connection has ended by itself.
async fn tell<T, R: Transfer<T>>(
    sender: &Sender<T, R>,
    place: &Place,
    news: Mail<News>,
    wants_people: bool,
) -> Option<Farewell> {
    while let Ok(news) = news.recv().await {
        let sent = match news {
            News::Line(line) => sender.send(line).await,
            News::People if wants_people => sender.send(place.people().into_bytes()).await,
            News::People => Ok(()),
        };
        if sent.is_err() {
            return None;
        }
    }
    Some(TOO_SLOW)
}

async fn sleep<R: Runtime>(time: Duration) {
    let mut timer = None;
    if R::set_timer(&mut timer, R::origin(), time)
        && let Some(timer) = &mut timer
    {
        poll_fn(|cx| R::poll_timer(timer, cx)).await;
    }
}
