//! The bytes of checkpoints: from a file or stdin to the server, and back.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    pin::pin,
};

use bytes::BytesMut;
use tokio::{
    fs::{self, File},
    io::{self, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::show;
use crate::{
    cli::{
        client::Client,
        failure::{Failure, Result},
        output::{Output, tell},
        progress::{Progress, Unit},
    },
    proto::tidings::v1::{
        Checkpoint, GetCheckpointRequest, GetCheckpointResponse, PutCheckpointHeader, PutCheckpointRequest,
        get_checkpoint_response::Frame as Received, put_checkpoint_request::Frame,
    },
};

const FRAME: usize = 256 << 10;
/// Frames that wait for the server.
const FRAMES: usize = 8;

/// Where bytes come from.
struct Source {
    bytes: Box<dyn AsyncRead + Send + Unpin>,
    name: String,
    /// `None` = it is not known before the end.
    size: Option<u64>,
}

/// Streams a file, or stdin, to the server. What cannot be read to its end is not stored.
pub(super) async fn put(mut header: PutCheckpointHeader, from: &Path, client: &Client) -> Result<Checkpoint> {
    let what = format!("put checkpoint {}", header.name);
    let mut source = Source::open(from).await?;
    header.size = source.size.and_then(|size| i64::try_from(size).ok());
    let (sender, receiver) = mpsc::channel(FRAMES);
    let mut service = client.state();
    let mut call = pin!(service.put_checkpoint(ReceiverStream::new(receiver)));
    let answer = tokio::select! {
        // The server may know the answer before it has everything.
        answer = &mut call => answer,
        sent = source.send(header, &sender) => {
            // If that failed, nothing is stored: the last frame was not sent.
            sent?;
            drop(sender);
            call.await
        }
    };
    let answer = answer.map_err(Failure::call(what))?.into_inner();
    Ok(answer.checkpoint.unwrap_or_default())
}

impl Source {
    async fn open(from: &Path) -> Result<Self> {
        if from == Path::new("-") {
            return Ok(Self {
                bytes: Box::new(io::stdin()),
                name: "stdin".to_owned(),
                size: None,
            });
        }
        let name = from.display().to_string();
        let failed = |error| Failure::local(format!("read {name}"), error);
        let file = File::open(from).await.map_err(failed)?;
        let metadata = file.metadata().await.map_err(failed)?;
        Ok(Self {
            size: metadata.is_file().then_some(metadata.len()),
            bytes: Box::new(file),
            name,
        })
    }

    async fn send(&mut self, header: PutCheckpointHeader, to: &mpsc::Sender<PutCheckpointRequest>) -> Result<()> {
        let mut progress = Progress::new(self.size, Unit::Bytes);
        pass(to, Frame::Header(header)).await;
        loop {
            let mut bytes = BytesMut::with_capacity(FRAME);
            let read = self.bytes.read_buf(&mut bytes).await;
            let count = read.map_err(|error| Failure::local(format!("read {}", self.name), error))?;
            if count == 0 {
                pass(to, Frame::Finish(())).await;
                return Ok(());
            }
            progress.add(count as u64);
            pass(to, Frame::Data(bytes.freeze())).await;
        }
    }
}

/// Once the call is over it waits for ever: the call's answer says why.
async fn pass(to: &mpsc::Sender<PutCheckpointRequest>, frame: Frame) {
    if to.send(PutCheckpointRequest { frame: Some(frame) }).await.is_err() {
        std::future::pending().await
    }
}

/// Writes a checkpoint's bytes to a file, which appears once they are whole, or to stdout.
pub(super) async fn get(request: GetCheckpointRequest, to: &Path, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("get checkpoint {}", request.name);
    let frames = client.state().get_checkpoint(request).await;
    let mut frames = frames.map_err(Failure::call(&what))?.into_inner();
    if to == Path::new("-") {
        write(&mut frames, &what, &mut io::stdout()).await?;
        return Ok(());
    }
    let failed = |error| Failure::local(format!("write {}", to.display()), error);
    let partial = partial(to);
    let mut file = File::create(&partial).await.map_err(failed)?;
    let written = async {
        let checkpoint = write(&mut frames, &what, &mut file).await?;
        file.sync_all().await.map_err(failed)?;
        fs::rename(&partial, to).await.map_err(failed)?;
        Ok(checkpoint)
    };
    match written.await {
        Ok(checkpoint) => {
            tell(format!("wrote {} bytes to {}", checkpoint.size, to.display()));
            output.one(show::checkpoint(&checkpoint), &checkpoint)
        }
        Err(failure) => {
            // Half of it is of no use to anybody.
            let _ = fs::remove_file(&partial).await;
            Err(failure)
        }
    }
}

async fn write(
    frames: &mut Streaming<GetCheckpointResponse>,
    what: &str,
    to: &mut (impl io::AsyncWrite + Unpin),
) -> Result<Checkpoint> {
    let failed = Failure::call(what);
    let (mut checkpoint, mut progress) = (Checkpoint::default(), None);
    while let Some(response) = frames.message().await.map_err(&failed)? {
        match response.frame {
            Some(Received::Checkpoint(first)) => {
                progress = Some(Progress::new(u64::try_from(first.size).ok(), Unit::Bytes));
                checkpoint = first;
            }
            Some(Received::Data(bytes)) => {
                to.write_all(&bytes).await?;
                if let Some(progress) = &mut progress {
                    progress.add(bytes.len() as u64);
                }
            }
            // Frames that this version does not know are passed over, as the API asks.
            None => {}
        }
    }
    to.flush().await?;
    Ok(checkpoint)
}

/// Beside the file, so that it can take its place.
fn partial(to: &Path) -> PathBuf {
    let mut name: OsString = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
