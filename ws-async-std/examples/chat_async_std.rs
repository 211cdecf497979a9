//! A chat server and its web page, on one port.
//!
//! ```sh
//! cargo run --release -p ws-async-std --example chat_async_std
//! ```
//!
//! Then open <http://127.0.0.1:8181/> in as many windows as you like. `/nick NAME` gives you a name. On the console,
//! `users` prints how many people there are and `quit` ends the server. With `--versions all` programs that speak an old
//! version of the protocol can take part.
//!
//! What is said, to whom and by whom is in `examples-common/src/chat`, with the protocol that the page speaks.

mod common;

use std::error::Error;
use std::future::ready;
use std::sync::Arc;

use common::block_on;
use examples_common::chat::{GOODBYE, Hub, Options, console, decide, session};
use examples_common::{Parser, at_end};
use ws_async_std::Server;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let hub = Arc::new(Hub::default());
    block_on(async {
        let server: Server = options.server.server(options.config()?).await?;
        let handle = server.handle();
        let quit = move || handle.shutdown(GOODBYE);
        at_end(quit.clone())?;
        println!("listening on {}", options.server.url("http", &server.local_addr()?, "/"));
        console(hub.clone(), quit);
        server.decide(|request, _| ready(decide(request))).serve(move |socket, _| session(socket, hub.join())).await;
        options.server.clean_up()?;
        Ok(())
    })
}
