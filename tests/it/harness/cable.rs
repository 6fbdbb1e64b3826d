//! A way to brokers that can be cut and mended: its connections stay open, and nothing passes.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Dropped, it ends.
pub(crate) struct Cable {
    pub(crate) near: SocketAddr,
    passes: watch::Sender<bool>,
    /// Where it leads; nowhere at first.
    far: watch::Sender<Option<String>>,
    carrying: JoinHandle<()>,
}

impl Cable {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let near = listener.local_addr().expect("its address");
        let (passes, far) = (watch::Sender::new(true), watch::Sender::new(None));
        let carrying = tokio::spawn(accept(listener, far.subscribe(), passes.subscribe()));
        Self {
            near,
            passes,
            far,
            carrying,
        }
    }

    pub(crate) fn lead_to(&self, address: String) {
        self.far.send_replace(Some(address));
    }

    pub(crate) fn cut(&self) {
        self.passes.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.passes.send_replace(true);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn accept(listener: TcpListener, mut far: watch::Receiver<Option<String>>, passes: watch::Receiver<bool>) {
    let mut ways = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let Ok(address) = far.wait_for(Option::is_some).await.map(|address| address.clone()) else {
            return;
        };
        let Ok(far) = TcpStream::connect(address.unwrap_or_default()).await else {
            continue;
        };
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        ways.spawn(carry(from_near, to_far, passes.clone()));
        ways.spawn(carry(from_far, to_near, passes.clone()));
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passes: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let may_pass = passes.wait_for(|passes| *passes).await.is_ok();
        if !may_pass || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
