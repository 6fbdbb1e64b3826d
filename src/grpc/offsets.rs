//! OffsetService: looking at groups, and moving them.

use tonic::{Request, Response, Status};

use super::{Services, asked, caller::Caller, convert, deadline::bounded, page::Page};
use crate::{
    bus::{ApplyReset, UndoReset},
    name::Group,
    proto::tidings::v1::{
        ApplyResetRequest, ApplyResetResponse, DeleteGroupRequest, DeleteGroupResponse, GetGroupRequest,
        GetGroupResponse, GetResetPlanRequest, GetResetPlanResponse, GetResetRequest, GetResetResponse,
        ListGroupsRequest, ListGroupsResponse, ListResetsRequest, ListResetsResponse, PlanResetRequest,
        PlanResetResponse, UndoResetRequest, UndoResetResponse, offset_service_server::OffsetService,
    },
};

#[tonic::async_trait]
impl OffsetService for Services {
    async fn list_groups(&self, request: Request<ListGroupsRequest>) -> Result<Response<ListGroupsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let page = Page::new(request.page_size, &request.page_token)?;
            let after = page.after.as_deref().map(Group::new).transpose()?;
            let mut groups = self.bus().groups(after.as_ref(), page.size + 1).await?;
            let next_page_token = page.cut(&mut groups, |group| group.name.as_str());
            Ok((groups, next_page_token))
        });
        let (groups, next_page_token) = listed.await?;
        Ok(Response::new(ListGroupsResponse {
            groups: groups.iter().map(convert::listed_group).collect(),
            next_page_token,
        }))
    }

    async fn get_group(&self, request: Request<GetGroupRequest>) -> Result<Response<GetGroupResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let info = bounded(&metadata, self.limits().publish_timeout, async {
            self.bus().group(&Group::new(&request.group)?).await
        });
        let group = convert::group(&info.await?);
        Ok(Response::new(GetGroupResponse { group: Some(group) }))
    }

    async fn delete_group(
        &self,
        request: Request<DeleteGroupRequest>,
    ) -> Result<Response<DeleteGroupResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let deleted = bounded(&metadata, self.limits().publish_timeout, async {
            self.bus()
                .delete_group(convert::delete_group(request, caller.name())?)
                .await
        });
        let dead_letters = i64::try_from(deleted.await?).unwrap_or(i64::MAX);
        Ok(Response::new(DeleteGroupResponse { dead_letters }))
    }

    async fn plan_reset(&self, request: Request<PlanResetRequest>) -> Result<Response<PlanResetResponse>, Status> {
        let (metadata, extensions, mut request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let planned = bounded(&metadata, self.limits().publish_timeout, async {
            let reason = asked::reason(std::mem::take(&mut request.reason))?;
            let asked = convert::plan_reset(request, reason, caller.name())?;
            self.bus().plan_reset(asked).await
        });
        let plan = Some(convert::reset_plan(&planned.await?));
        Ok(Response::new(PlanResetResponse { plan }))
    }

    async fn get_reset_plan(
        &self,
        request: Request<GetResetPlanRequest>,
    ) -> Result<Response<GetResetPlanResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            self.bus().reset_plan(&request.plan_id).await
        });
        let plan = Some(convert::reset_plan(&found.await?));
        Ok(Response::new(GetResetPlanResponse { plan }))
    }

    async fn apply_reset(&self, request: Request<ApplyResetRequest>) -> Result<Response<ApplyResetResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let applied = bounded(&metadata, self.limits().publish_timeout, async {
            let apply = ApplyReset {
                plan_id: request.plan_id,
                hash: request.hash.to_vec(),
                reason: asked::reason(request.reason)?,
                request_id: asked::request_id(request.request_id)?,
                by: caller.name().to_owned(),
            };
            self.bus().apply_reset(apply).await
        });
        let reset = Some(convert::reset(&applied.await?));
        Ok(Response::new(ApplyResetResponse { reset }))
    }

    async fn undo_reset(&self, request: Request<UndoResetRequest>) -> Result<Response<UndoResetResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let undone = bounded(&metadata, self.limits().publish_timeout, async {
            let undo = UndoReset {
                reset_id: request.reset_id,
                reason: asked::reason(request.reason)?,
                request_id: asked::request_id(request.request_id)?,
                by: caller.name().to_owned(),
            };
            if request.validate_only {
                return Ok((self.bus().plan_undo(&undo).await?, None));
            }
            let (plan, reset) = self.bus().undo_reset(undo).await?;
            Ok((plan, Some(reset)))
        });
        let (plan, reset) = undone.await?;
        Ok(Response::new(UndoResetResponse {
            plan: Some(convert::reset_plan(&plan)),
            reset: reset.as_ref().map(convert::reset),
        }))
    }

    async fn get_reset(&self, request: Request<GetResetRequest>) -> Result<Response<GetResetResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            self.bus().reset(&request.reset_id).await
        });
        let reset = Some(convert::reset(&found.await?));
        Ok(Response::new(GetResetResponse { reset }))
    }

    async fn list_resets(&self, request: Request<ListResetsRequest>) -> Result<Response<ListResetsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let page = Page::new(request.page_size, &request.page_token)?;
            let group = (!request.group.is_empty())
                .then(|| Group::new(&request.group))
                .transpose()?;
            let mut resets = self
                .bus()
                .resets(group.as_ref(), page.after.as_deref(), page.size + 1)
                .await?;
            let next_page_token = page.cut(&mut resets, |reset| &reset.plan.id);
            Ok((resets, next_page_token))
        });
        let (resets, next_page_token) = listed.await?;
        Ok(Response::new(ListResetsResponse {
            resets: resets.iter().map(convert::reset).collect(),
            next_page_token,
        }))
    }
}
