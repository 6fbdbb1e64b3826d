//! StateService: restores, the snapshots that they read from, and the checkpoints of clients.

use std::time::Duration;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services, asked,
    caller::{Caller, Right},
    calls::call_of,
    checkpoints, convert,
    deadline::{self, bounded},
    guard::topics_stay,
    page::{Page, token},
    quotas::{place, placed},
    restore_stream,
    size::{DEFAULT_LIMIT, Sizes},
    status::status,
};
use crate::{
    bus::{DeleteSnapshot, NewSnapshot, RestoreOptions, SnapshotInfo},
    error::Result,
    name::Verb,
    proto::{
        lean::{RestoreResponse, StateService},
        tidings::v1::{
            CreateSnapshotRequest, CreateSnapshotResponse, DeleteCheckpointRequest, DeleteCheckpointResponse,
            DeleteSnapshotRequest, DeleteSnapshotResponse, GetCheckpointRequest, GetSnapshotRequest,
            GetSnapshotResponse, ListCheckpointsRequest, ListCheckpointsResponse, ListSnapshotsRequest,
            ListSnapshotsResponse, PutCheckpointRequest, PutCheckpointResponse, RestoreRequest, Snapshot,
        },
    },
};

/// How long a caller without a deadline waits for a snapshot. It goes on behind that.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

#[tonic::async_trait]
impl StateService for Services {
    type RestoreStream = BoxStream<'static, Result<RestoreResponse, Status>>;
    type GetCheckpointStream = checkpoints::Bytestream;

    async fn restore(&self, request: Request<RestoreRequest>) -> Result<Response<Self::RestoreStream>, Status> {
        let end_at = deadline::end_of_stream(request.metadata());
        let (caller, call) = (Caller::of(request.extensions())?, call_of(request.extensions()));
        let place = place(&caller)?;
        let starting = deadline::before(end_at, async {
            let (options, right) = permitted(&caller, request.into_inner()).map_err(|error| status(&error))?;
            let session = self.bus().restore(options).await.map_err(|error| status(&error))?;
            Ok((session, right))
        });
        let (session, right) = starting.await?;
        let lifetime = caller.lifetime(right);
        let messages = restore_stream::messages(session, Sizes::new(self.bus(), DEFAULT_LIMIT), call);
        let messages = deadline::cut(lifetime.cut(messages), end_at);
        Ok(Response::new(placed(place, messages)))
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let taken = bounded(&metadata, SNAPSHOT_TIMEOUT, async {
            let topic = convert::topic(&request.topic, "topic")?;
            caller.on_whole_topic(Verb::State, &topic)?;
            let new = NewSnapshot {
                topic,
                reason: asked::reason(request.reason)?,
                by: caller.name().to_owned(),
                request_id: asked::request_id(request.request_id)?,
            };
            self.bus().create_snapshot(new).await
        });
        let snapshot = Some(convert::snapshot(&taken.await?));
        Ok(Response::new(CreateSnapshotResponse { snapshot }))
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            let name = convert::snapshot_name(&request.name, "name")?;
            caller.on_topic(Verb::State, &name.topic)?;
            self.bus().snapshot(&name).await
        });
        let snapshot = Some(convert::snapshot(&found.await?));
        Ok(Response::new(GetSnapshotResponse { snapshot }))
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let topic = match request.topic.as_str() {
                "" => None,
                topic => Some(convert::topic(topic, "topic")?),
            };
            if let Some(topic) = &topic {
                caller.on_topic(Verb::State, topic)?;
            }
            let scope = caller.rights().topics(Verb::State);
            let page = Page::new(request.page_size, &request.page_token)?;
            let after = page.after_snapshot()?;
            let mut infos = self
                .bus()
                .snapshots(
                    (topic.as_ref(), |topic| scope.allows(topic)),
                    after.as_ref(),
                    page.size + 1,
                )
                .await?;
            let has_more = infos.len() > page.size;
            infos.truncate(page.size);
            let last = infos.last().filter(|_| has_more);
            Ok(ListSnapshotsResponse {
                next_page_token: last.map(|last| token(&last.name.to_string())).unwrap_or_default(),
                snapshots: infos.iter().map(in_list).collect(),
            })
        });
        listed.await.map(Response::new)
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let deleted = bounded(&metadata, self.limits().publish_timeout, async {
            let name = convert::snapshot_name(&request.name, "name")?;
            caller.on_whole_topic(Verb::State, &name.topic)?;
            let id = name
                .id
                .ok_or_else(|| convert::invalid("name", "names one snapshot: a topic, @ and 32 hexadecimal digits"))?;
            if request.reason.trim().is_empty() {
                return Err(convert::invalid("reason", "is empty: say why this snapshot goes"));
            }
            let asked = DeleteSnapshot {
                topic: name.topic,
                id,
                reason: asked::reason(request.reason)?,
                by: caller.name().to_owned(),
                request_id: asked::request_id(request.request_id)?,
            };
            self.bus().delete_snapshot(&asked).await
        });
        deleted.await?;
        Ok(Response::new(DeleteSnapshotResponse {}))
    }

    async fn put_checkpoint(
        &self,
        request: Request<Streaming<PutCheckpointRequest>>,
    ) -> Result<Response<PutCheckpointResponse>, Status> {
        checkpoints::put(self, request).await
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<Self::GetCheckpointStream>, Status> {
        checkpoints::get(self, request).await
    }

    async fn list_checkpoints(
        &self,
        request: Request<ListCheckpointsRequest>,
    ) -> Result<Response<ListCheckpointsResponse>, Status> {
        checkpoints::list(self, request).await
    }

    async fn delete_checkpoint(
        &self,
        request: Request<DeleteCheckpointRequest>,
    ) -> Result<Response<DeleteCheckpointResponse>, Status> {
        checkpoints::delete(self, request).await
    }
}

/// What may be restored, and what must stay so.
fn permitted(caller: &Caller, request: RestoreRequest) -> Result<(RestoreOptions, Right)> {
    let mut options = convert::restore_options(request)?;
    let scope = caller.rights().topics(Verb::State);
    options.topics = caller.on_topics(Verb::State, &scope, options.topics)?;
    caller.on_start(Verb::State, &scope, options.since.as_ref())?;
    options.tenant = scope.tenant().cloned();
    Ok((options.clone(), topics_stay(Verb::State, options.topics)))
}

fn in_list(info: &SnapshotInfo) -> Snapshot {
    Snapshot {
        partitions: Vec::new(),
        ..convert::snapshot(info)
    }
}
