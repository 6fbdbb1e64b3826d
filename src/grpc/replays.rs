//! ReplayService: starting, stopping and looking at replays.

use tonic::{Request, Response, Status};

use super::{Services, asked, caller::Caller, convert, deadline::bounded, page::Page};
use crate::{
    bus::{ReplayInfo, StopReplay, no_such_replay},
    error::Result,
    name::Verb,
    proto::tidings::v1::{
        GetReplayRequest, GetReplayResponse, ListReplaysRequest, ListReplaysResponse, StartReplayRequest,
        StartReplayResponse, StopReplayRequest, StopReplayResponse, replay_service_server::ReplayService,
    },
};

#[tonic::async_trait]
impl ReplayService for Services {
    async fn start_replay(
        &self,
        request: Request<StartReplayRequest>,
    ) -> Result<Response<StartReplayResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let started = bounded(&metadata, self.limits().publish_timeout, async {
            let mut start = convert::start_replay(request, caller.name())?;
            caller.on_group(Verb::Reset, &start.group)?;
            let scope = caller.rights().topics_of(Verb::Reset, &start.group);
            caller.on_start(Verb::Reset, &scope, Some(&start.start))?;
            start.max_per_second = caller.allowance().replay(start.max_per_second)?;
            self.bus().start_replay(start).await
        });
        let replay = Some(convert::replay(&started.await?));
        Ok(Response::new(StartReplayResponse { replay }))
    }

    async fn get_replay(&self, request: Request<GetReplayRequest>) -> Result<Response<GetReplayResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            self.replay_of(&caller, &request.replay_id).await
        });
        let replay = Some(convert::replay(&found.await?));
        Ok(Response::new(GetReplayResponse { replay }))
    }

    async fn list_replays(
        &self,
        request: Request<ListReplaysRequest>,
    ) -> Result<Response<ListReplaysResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let page = Page::new(request.page_size, &request.page_token)?;
            let may = caller.may_list(Verb::Reset, &request.group)?;
            let mut replays = self.bus().replays(may, page.after.as_deref(), page.size + 1).await?;
            let next_page_token = page.cut(&mut replays, |replay| &replay.row.id);
            Ok((replays, next_page_token))
        });
        let (replays, next_page_token) = listed.await?;
        Ok(Response::new(ListReplaysResponse {
            replays: replays.iter().map(convert::listed_replay).collect(),
            next_page_token,
        }))
    }

    async fn stop_replay(&self, request: Request<StopReplayRequest>) -> Result<Response<StopReplayResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let stopped = bounded(&metadata, self.limits().publish_timeout, async {
            asked::request_id(request.request_id)?;
            let stop = StopReplay {
                replay_id: request.replay_id,
                reason: asked::reason(request.reason)?,
                by: caller.name().to_owned(),
            };
            if caller.is_known() {
                self.replay_of(&caller, &stop.replay_id).await?;
            }
            self.bus().stop_replay(stop).await
        });
        let replay = Some(convert::replay(&stopped.await?));
        Ok(Response::new(StopReplayResponse { replay }))
    }
}

impl Services {
    /// Of a group that the caller has no right for, it is as if it were not there.
    async fn replay_of(&self, caller: &Caller, id: &str) -> Result<ReplayInfo> {
        let found = self.bus().replay(id).await?;
        match caller.on_group(Verb::Reset, &found.row.group) {
            Ok(()) => Ok(found),
            Err(_) => Err(no_such_replay(id)),
        }
    }
}
