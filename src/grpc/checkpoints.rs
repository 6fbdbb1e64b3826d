//! Checkpoints in StateService: bytes in, bytes out, lists and deletions.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services,
    caller::Caller,
    convert::{self, unexpected},
    deadline::{self, bounded},
    foreign,
    page::{Page, token},
    status::status,
};
use crate::{
    bus::{Begun, CheckpointInfo, CheckpointRow, Download, NewCheckpoint, Upload, draining},
    error::{Error, Reason, Result},
    name::{CheckpointName, Group, Scope, Topic, Verb},
    proto::tidings::v1::{
        DeleteCheckpointRequest, DeleteCheckpointResponse, GetCheckpointRequest, GetCheckpointResponse,
        ListCheckpointsRequest, ListCheckpointsResponse, PutCheckpointRequest, PutCheckpointResponse,
        get_checkpoint_response::Frame as Sent, put_checkpoint_request::Frame,
    },
};

/// A client that says nothing for so long is not waited for.
const SILENCE: Duration = Duration::from_secs(60);

pub(super) type Bytestream = BoxStream<'static, Result<GetCheckpointResponse, Status>>;

/// What clients send, frame by frame.
struct Frames {
    frames: Streaming<PutCheckpointRequest>,
    max_bytes: usize,
    draining: CancellationToken,
    caller: Caller,
    /// The caller is not known any more.
    over: BoxFuture<'static, Error>,
}

pub(super) async fn put(
    services: &Services,
    request: Request<Streaming<PutCheckpointRequest>>,
) -> Result<Response<PutCheckpointResponse>, Status> {
    let end_at = deadline::end_of_stream(request.metadata());
    let caller = Caller::of(request.extensions())?;
    let frames = Frames {
        over: caller.lifetime(Arc::new(|_| Ok(()))).over(),
        caller,
        frames: request.into_inner(),
        max_bytes: services.limits().max_request_bytes,
        draining: services.bus().draining(),
    };
    let put = deadline::before(end_at, async {
        let put = put_frames(services, frames).await;
        put.map_err(|error| status(&error))
    });
    let checkpoint = Some(convert::checkpoint(&put.await?));
    Ok(Response::new(PutCheckpointResponse { checkpoint }))
}

async fn put_frames(services: &Services, mut frames: Frames) -> Result<CheckpointInfo> {
    let new = frames.header().await?;
    let covers = Covers::of(&new);
    covers.check(&frames.caller)?;
    match services.bus().put_checkpoint(new).await? {
        Begun::Stored(info) => Ok(*info),
        Begun::Upload(mut upload) => {
            frames.pass_to(&mut upload).await?;
            // It may have taken hours.
            covers.check(&frames.caller)?;
            upload.finish().await
        }
    }
}

/// What a checkpoint stands for.
struct Covers {
    name: CheckpointName,
    group: Option<Group>,
    topics: BTreeSet<Topic>,
}

impl Covers {
    fn of(new: &NewCheckpoint) -> Self {
        Self {
            name: new.name.clone(),
            group: new.group.as_ref().map(|(group, _)| group.clone()),
            topics: new
                .positions
                .iter()
                .map(|(partition, _)| partition.topic.clone())
                .collect(),
        }
    }

    /// It may start readers of its topics, and counts as an ack of them in its group.
    fn check(&self, caller: &Caller) -> Result<()> {
        caller.on_checkpoint(Verb::State, &self.name)?;
        let all_in = |verb: Verb, scope: &Scope| match self.topics.iter().find(|topic| !scope.allows(topic)) {
            None => Ok(()),
            Some(topic) => caller.denied(verb, format!("topic {topic}")),
        };
        if let Some(group) = &self.group {
            caller.on_group(Verb::Subscribe, group)?;
            all_in(Verb::Subscribe, &caller.rights().topics_of(Verb::Subscribe, group))?;
        }
        all_in(Verb::State, &caller.rights().topics(Verb::State))
    }
}

impl Frames {
    async fn header(&mut self) -> Result<NewCheckpoint> {
        match self.next().await? {
            Some(Frame::Header(header)) => convert::new_checkpoint(header, self.caller.name()),
            Some(Frame::Data(_) | Frame::Finish(())) => Err(unexpected("the first frame is header, before any data")),
            None => Err(unexpected("the first frame is header, and none came")),
        }
    }

    async fn pass_to(&mut self, upload: &mut Upload) -> Result<()> {
        loop {
            match self.next().await? {
                Some(Frame::Data(bytes)) => upload.write(self.checked(bytes)?).await?,
                Some(Frame::Finish(())) => return Ok(()),
                Some(Frame::Header(_)) => return Err(unexpected("header comes once, in the first frame")),
                // A call that was cancelled ends like this too, and has not said everything.
                None => return Err(unexpected("the last frame is finish: without it nothing is stored")),
            }
        }
    }

    fn checked(&self, bytes: Bytes) -> Result<Bytes> {
        let (size, max) = (bytes.len(), self.max_bytes);
        if size <= max {
            return Ok(bytes);
        }
        let rule = format!("the frame has {size} bytes; limits.max_request_bytes = {max}");
        Err(Error::fault(Reason::RequestTooLarge, "data", rule))
    }

    /// `None` = the client says no more.
    async fn next(&mut self) -> Result<Option<Frame>> {
        let silent = |_| unexpected("the next frame, or the end, comes within a minute");
        let next = tokio::select! {
            () = self.draining.cancelled() => return Err(draining()),
            error = &mut self.over => return Err(error),
            next = timeout(SILENCE, self.frames.message()) => next.map_err(silent)?,
        };
        match next {
            Ok(None) => Ok(None),
            Ok(Some(request)) => {
                let frame = request.frame.ok_or_else(|| unexpected("a frame is header or data"));
                frame.map(Some)
            }
            Err(broken) => {
                let gone = || Error::new(Reason::DeadlineExceeded, "the client is gone; nothing was stored");
                Err(foreign::unreadable(&broken, Reason::FrameUnexpected).unwrap_or_else(gone))
            }
        }
    }
}

pub(super) async fn get(
    services: &Services,
    request: Request<GetCheckpointRequest>,
) -> Result<Response<Bytestream>, Status> {
    let end_at = deadline::end_of_stream(request.metadata());
    let caller = Caller::of(request.extensions())?;
    let request = request.into_inner();
    let begin = deadline::before(end_at, async {
        let wanted = convert::checkpoint_ref(&request.name, request.generation);
        let wanted = wanted.map_err(|error| status(&error))?;
        let name = wanted.name.clone();
        caller
            .on_checkpoint(Verb::State, &name)
            .map_err(|error| status(&error))?;
        let download = services.bus().read_checkpoint(&wanted).await;
        let download = download.map_err(|error| status(&error))?;
        Ok((download, name))
    });
    let (download, name) = begin.await?;
    let lifetime = caller.lifetime(Arc::new(move |rights| match rights.on_checkpoint(Verb::State, &name) {
        true => Ok(()),
        false => Err(Error::denied(Verb::State, format!("checkpoint {name}"))),
    }));
    Ok(Response::new(deadline::cut(
        lifetime.cut(frames(services, download)),
        end_at,
    )))
}

fn frames(services: &Services, download: Download) -> Bytestream {
    let first = Sent::Checkpoint(convert::checkpoint(download.info()));
    let message = |frame| Ok(GetCheckpointResponse { frame: Some(frame) });
    let (taken, pieces) = mpsc::channel(1);
    services.0.tasks.spawn(pump(download, taken));
    let data = ReceiverStream::new(pieces).map(move |bytes| match bytes {
        Ok(bytes) => message(Sent::Data(bytes)),
        Err(error) => Err(status(&error)),
    });
    stream::iter([message(first)]).chain(data).boxed()
}

/// Hands out what is read. A client that takes nothing for long does not keep its place among transfers.
async fn pump(mut download: Download, taken: mpsc::Sender<Result<Bytes>>) {
    loop {
        let next = tokio::select! {
            () = taken.closed() => return,
            next = download.next() => next,
        };
        let Some(piece) = next else { return };
        match timeout(SILENCE, taken.reserve()).await {
            Ok(Ok(room)) => room.send(piece),
            Ok(Err(_)) => return,
            Err(_) => break,
        }
    }
    drop(download);
    let text = "the client took nothing of the checkpoint for a minute";
    let _ = taken.send(Err(Error::new(Reason::DeadlineExceeded, text))).await;
}

pub(super) async fn list(
    services: &Services,
    request: Request<ListCheckpointsRequest>,
) -> Result<Response<ListCheckpointsResponse>, Status> {
    let (metadata, extensions, request) = request.into_parts();
    let caller = Caller::of(&extensions)?;
    let listed = bounded(&metadata, services.limits().publish_timeout, async {
        let page = Page::new(request.page_size, &request.page_token)?;
        match request.name.as_str() {
            "" => newest_of_each(services, &caller, &page).await,
            name => {
                let name = CheckpointName::new(name, "name")?;
                caller.on_checkpoint(Verb::State, &name)?;
                generations(services, &name, &page).await
            }
        }
    });
    listed.await.map(Response::new)
}

async fn newest_of_each(services: &Services, caller: &Caller, page: &Page) -> Result<ListCheckpointsResponse> {
    let rights = caller.rights();
    let may = |name: &CheckpointName| rights.on_checkpoint(Verb::State, name);
    let after = page
        .after
        .as_deref()
        .map(|name| CheckpointName::new(name, "page_token"));
    let mut rows = services
        .bus()
        .checkpoints(after.transpose()?.as_ref(), page.size + 1, may)
        .await?;
    let next_page_token = page.cut(&mut rows, |row| row.name().as_str());
    Ok(response(&rows, next_page_token))
}

async fn generations(services: &Services, name: &CheckpointName, page: &Page) -> Result<ListCheckpointsResponse> {
    let before = page.before()?.map(i64::cast_unsigned);
    let mut rows = services.bus().generations(name, before, page.size + 1).await?;
    let more = rows.len() > page.size;
    rows.truncate(page.size);
    let next_page_token = match rows.last() {
        Some(last) if more => token(&last.generation().cast_signed().to_string()),
        _ => String::new(),
    };
    Ok(response(&rows, next_page_token))
}

fn response(rows: &[CheckpointRow], next_page_token: String) -> ListCheckpointsResponse {
    ListCheckpointsResponse {
        checkpoints: rows.iter().map(convert::listed_checkpoint).collect(),
        next_page_token,
    }
}

pub(super) async fn delete(
    services: &Services,
    request: Request<DeleteCheckpointRequest>,
) -> Result<Response<DeleteCheckpointResponse>, Status> {
    let (metadata, extensions, request) = request.into_parts();
    let caller = Caller::of(&extensions)?;
    let deleted = bounded(&metadata, services.limits().publish_timeout, async {
        let delete = convert::delete_checkpoint(request, caller.name())?;
        caller.on_checkpoint(Verb::State, &delete.name)?;
        services.bus().delete_checkpoint(delete).await
    });
    deleted.await.map(|()| Response::new(DeleteCheckpointResponse {}))
}
