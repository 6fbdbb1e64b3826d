//! HTTP/2 by hand, frame by frame: what no library would send.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What a client says first.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection that has greeted, and was greeted.
pub(crate) struct Frames(TcpStream);

impl Frames {
    pub(crate) async fn connect(server: SocketAddr) -> io::Result<Self> {
        let mut frames = Self(TcpStream::connect(server).await?);
        frames.write(PREFACE).await?;
        frames.write(&frame(SETTINGS, 0, 0, &[])).await?;
        frames.until(SETTINGS).await?;
        Ok(frames)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Reads up to a frame of this kind.
    pub(crate) async fn until(&mut self, wanted: u8) -> io::Result<()> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await?;
            let mut payload = vec![0; length(&head)];
            self.0.read_exact(&mut payload).await?;
            if head[3] == wanted {
                return Ok(());
            }
        }
    }

    /// Reads until the server has closed the connection.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        let mut scratch = [0; 4096];
        while self.0.read(&mut scratch).await? > 0 {}
        Ok(())
    }

    pub(crate) fn split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.0.into_split()
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The headers of a call, as a block.
pub(crate) fn call() -> Vec<u8> {
    [
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", "/tidings.v1.InfoService/GetInfo"),
        header(":authority", "bus"),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    ]
    .concat()
}

/// A header that goes into no table (RFC 7541 §6.2.2).
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        [&[length.expect("a short text")], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// Of the frames that begin here.
pub(crate) fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        kinds.push(head[3]);
        bytes = rest.get(length(head)..).unwrap_or_default();
    }
    kinds
}

fn length(head: &[u8; 9]) -> usize {
    u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize
}
