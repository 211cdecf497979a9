//! What an opening handshake allocates.

use std::sync::Arc;

use alloc_meter::Mark;
use ws_proto::{Accept, Input, Instant, NoEntropy, ServerConfig, ServerHandshake, Step};

const NOW: Instant = Instant::ZERO;

/// What a browser sends.
const BROWSER: &[u8] = b"GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com:8181\r\nConnection: Upgrade\r\n\
    Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
    (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\n\
    Origin: http://server.example.com:8181\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

#[test]
fn a_request_of_a_browser_costs_few_allocations() {
    let config = Arc::new(ServerConfig::default());
    let mut bytes = BROWSER.to_vec();
    let mark = Mark::now();
    let mut handshake = ServerHandshake::new(NOW, config);
    assert_eq!(handshake.poll(NOW, &mut Input::new(&mut bytes)), Step::Request);
    handshake.accept(NOW, Accept::new()).unwrap();
    let written: usize = handshake.outgoing().map(<[u8]>::len).sum();
    handshake.advance(NOW, written);
    let connection = handshake.into_connection(Box::new(NoEntropy)).unwrap();
    let used = mark.usage();
    assert!(used.allocations <= 6, "{used:?}");
    drop(connection);
}

#[test]
fn threat_052_the_heap_follows_the_head_and_ends_at_the_limit() {
    const OFFERED: usize = 1 << 30;
    let limit = 16 * 1024;
    for read in [1, 1000, 64 * 1024] {
        let mut filler = vec![b'a'; read];
        let mark = Mark::now();
        let mut handshake = ServerHandshake::new(NOW, ServerConfig::default());
        handshake.poll(NOW, &mut Input::new(&mut b"GET / HTTP/1.1\r\nX: ".to_vec()));
        let mut taken = 0;
        while taken < OFFERED && handshake.poll(NOW, &mut Input::new(&mut filler)) == Step::NeedInput {
            taken += read;
        }
        assert!(taken <= limit, "{taken} bytes in reads of {read}");
        // A vector that grows byte by byte may be twice as long, and is moved once.
        let peak = mark.usage().peak;
        assert!(peak <= 3 * limit as i64 + 2048, "{peak} bytes in reads of {read}");
        assert_eq!(handshake.error().and_then(|e| e.status()), Some(431));
    }
}
