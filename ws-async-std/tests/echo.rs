//! An echo.
use ws_async_std::{Message, Server, connect};
#[test]
fn echo() {
    smol::block_on(async {
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let (handle, address) = (server.handle(), server.local_addr().unwrap());
        let report = async_std::task::spawn(server.serve(|mut ws, _| async move {
            while let Some(message) = ws.recv().await {
                let _ = ws.send(message).await;
            }
        }));
        let mut ws = connect(&format!("ws://{address}/")).await.unwrap();
        for n in 0..1000 {
            ws.send(n.to_string()).await.unwrap();
            assert_eq!(ws.recv().await, Some(Message::from(n.to_string())));
        }
        assert!(ws.close(1000, "").await.unwrap().is_clean());
        handle.shutdown(std::time::Duration::from_secs(30));
        assert_eq!(report.await.served, 1);
    });
}
