//! A socket that is lent to a connection and comes back when that has ended, so that the last word on it arrives.
//!
//! A socket that is closed while bytes of its client lie unread is reset, and the client's system throws away what it has not
//! read yet: the status of its call, as a rule.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

/// For a client to see that the connection has ended, and to end it on its side.
const LINGER: Duration = Duration::from_secs(1);
const SCRATCH: usize = 4096;

/// The socket, for its connection.
pub(super) struct Lent {
    /// `None` once it is on its way back.
    socket: Option<TcpStream>,
    back: Option<oneshot::Sender<TcpStream>>,
}

/// Where the socket comes back to.
pub(super) struct Owner(oneshot::Receiver<TcpStream>);

pub(super) fn lend(socket: TcpStream) -> (Lent, Owner) {
    let (back, owner) = oneshot::channel();
    let lent = Lent {
        socket: Some(socket),
        back: Some(back),
    };
    (lent, Owner(owner))
}

impl Owner {
    /// After its connection: nothing more is sent, and what still comes is thrown away until the client has ended too.
    pub(super) async fn close(self) {
        let Ok(mut socket) = self.0.await else { return };
        let client_ends = async {
            socket.shutdown().await?;
            let mut scratch = vec![0; SCRATCH];
            while socket.read(&mut scratch).await? > 0 {}
            io::Result::Ok(())
        };
        // A client that does not end is closed all the same.
        let _ = timeout(LINGER, client_ends).await;
    }
}

impl Lent {
    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(socket), Some(back)) = (self.socket.take(), self.back.take()) {
            // Without an owner it is closed here.
            let _ = back.send(socket);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(context)
    }
}
