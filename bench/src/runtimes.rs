//! How connections are accepted: the same for all libraries of a family.

use std::future::Future;
use std::io;
use std::net;
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::serve::Listening;

/// A tokio runtime of one thread; a task for each connection.
pub mod on_tokio {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    use super::{Future, Listening, net};

    /// Serves either with the one or with the other.
    pub fn either<P, T>(
        listening: Listening,
        plain: impl Fn(TcpStream) -> P,
        encrypted: impl Fn(TlsStream<TcpStream>) -> T + Copy + Send + 'static,
    ) where
        P: Future<Output = ()> + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let Some(config) = listening.tls else {
            return each(listening.listener, plain);
        };
        let acceptor = TlsAcceptor::from(config);
        each(listening.listener, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                // Boxed, so that the idle connection doesn't keep the room of the handshake.
                if let Ok(stream) = Box::pin(acceptor.accept(stream)).await {
                    encrypted(stream).await;
                }
            }
        });
    }

    /// Serves each connection.
    pub fn each<F: Future<Output = ()> + Send + 'static>(listener: net::TcpListener, serve: impl Fn(TcpStream) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            listener.set_nonblocking(true).expect("a socket");
            let listener = TcpListener::from_std(listener).expect("within a runtime");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream));
            }
        });
    }
}

/// async-std, which is told to have one thread beside the main one; a task for each connection.
pub mod on_async_std {
    use async_std::net::{TcpListener, TcpStream};
    use async_std::task;
    use futures_rustls::TlsAcceptor;
    use futures_rustls::server::TlsStream;
    use smol::Async;

    use super::{Future, Listening, net};

    /// Serves either with the one or with the other.
    pub fn either<P, T>(
        listening: Listening,
        plain: impl Fn(TcpStream) -> P,
        encrypted: impl Fn(TlsStream<TcpStream>) -> T + Copy + Send + 'static,
    ) where
        P: Future<Output = ()> + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let Some(config) = listening.tls else {
            return each(listening.listener, plain);
        };
        let acceptor = TlsAcceptor::from(config);
        each(listening.listener, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = Box::pin(acceptor.accept(stream)).await {
                    encrypted(stream).await;
                }
            }
        });
    }

    /// Serves each connection.
    pub fn each<F: Future<Output = ()> + Send + 'static>(listener: net::TcpListener, serve: impl Fn(TcpStream) -> F) {
        task::block_on(async {
            let listener = TcpListener::from(listener);
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                task::spawn(serve(stream));
            }
        });
    }

    /// Serves each connection, as a socket of the reactor below, which is smol's, too.
    pub fn each_async<F>(listener: net::TcpListener, serve: impl Fn(Async<net::TcpStream>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        task::block_on(async {
            let listener = Async::new(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.get_ref().set_nodelay(true);
                task::spawn(serve(stream));
            }
        });
    }
}

/// An executor of smol on one thread; a task for each connection.
pub mod on_smol {
    use futures_rustls::TlsAcceptor;
    use futures_rustls::server::TlsStream;
    use smol::net::{TcpListener, TcpStream};
    use smol::{Async, Executor};

    use super::{Future, Listening, net};

    /// Serves either with the one or with the other.
    pub fn either<P, T>(
        listening: Listening,
        plain: impl Fn(TcpStream) -> P,
        encrypted: impl Fn(TlsStream<TcpStream>) -> T + Copy + Send + 'static,
    ) where
        P: Future<Output = ()> + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let Some(config) = listening.tls else {
            return each(listening.listener, plain);
        };
        let acceptor = TlsAcceptor::from(config);
        each(listening.listener, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = Box::pin(acceptor.accept(stream)).await {
                    encrypted(stream).await;
                }
            }
        });
    }

    /// Serves each connection.
    pub fn each<F: Future<Output = ()> + Send + 'static>(listener: net::TcpListener, serve: impl Fn(TcpStream) -> F) {
        let executor = Executor::new();
        smol::block_on(executor.run(async {
            let listener = TcpListener::from(Async::new(listener).expect("a socket"));
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                executor.spawn(serve(stream)).detach();
            }
        }));
    }

    /// Serves each connection, as a socket of the reactor.
    pub fn each_async<F>(listener: net::TcpListener, serve: impl Fn(Async<net::TcpStream>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let executor = Executor::new();
        smol::block_on(executor.run(async {
            let listener = Async::new(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.get_ref().set_nodelay(true);
                executor.spawn(serve(stream)).detach();
            }
        }));
    }
}

/// Sockets that block; a thread for each connection.
pub mod on_threads {
    use std::net::TcpStream;

    use super::{Arc, Listening, ServerConfig, ServerConnection, StreamOwned, io, net, thread};

    /// A connection with TLS.
    pub type TlsStream = StreamOwned<ServerConnection, TcpStream>;

    /// Serves either with the one or with the other.
    pub fn either(
        listening: Listening,
        plain: impl Fn(TcpStream) + Copy + Send + 'static,
        encrypted: impl Fn(TlsStream) + Copy + Send + 'static,
    ) {
        let Some(config) = listening.tls else {
            return each(listening.listener, plain);
        };
        let accept = move |stream| accept(stream, &config);
        each(listening.listener, move |stream| {
            if let Ok(stream) = accept(stream) {
                encrypted(stream);
            }
        });
    }

    fn accept(mut stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<TlsStream> {
        let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(tls, stream))
    }

    /// Serves each connection.
    pub fn each(listener: net::TcpListener, serve: impl Fn(TcpStream) + Clone + Send + 'static) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let _ = stream.set_nodelay(true);
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    }
}
