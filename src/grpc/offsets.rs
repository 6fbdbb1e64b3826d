//! OffsetService: looking at groups, and moving them.

use tonic::{Request, Response, Status};

use super::{Services, asked, caller::Caller, convert, deadline::bounded, page::Page};
use crate::{
    bus::{ApplyReset, PlanReset, ResetInfo, ResetPlan, Start, Target, UndoReset, no_such_reset},
    error::{Reason, Result},
    name::{Group, Verb},
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
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let page = Page::new(request.page_size, &request.page_token)?;
            let after = page.after.as_deref().map(Group::new).transpose()?;
            let rights = caller.rights();
            let may = |group: &Group| rights.shows_group(group);
            let mut groups = self.bus().groups(after.as_ref(), page.size + 1, may).await?;
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
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let info = bounded(&metadata, self.limits().publish_timeout, async {
            let group = Group::new(&request.group)?;
            if !caller.rights().shows_group(&group) {
                caller.denied(Verb::Subscribe, format!("group {group}"))?;
            }
            self.bus().group(&group).await
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
            let delete = convert::delete_group(request, caller.name())?;
            caller.on_group(Verb::Admin, &delete.group)?;
            self.bus().delete_group(delete).await
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
            self.check_plan(&caller, &asked).await?;
            self.bus().plan_reset(asked).await
        });
        let plan = Some(convert::reset_plan(&planned.await?));
        Ok(Response::new(PlanResetResponse { plan }))
    }

    async fn get_reset_plan(
        &self,
        request: Request<GetResetPlanRequest>,
    ) -> Result<Response<GetResetPlanResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            self.plan_of(&caller, &request.plan_id).await
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
            if caller.is_known() {
                self.plan_of(&caller, &apply.plan_id).await?;
            }
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
            if caller.is_known() {
                self.reset_of(&caller, &undo.reset_id).await?;
            }
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
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            self.reset_of(&caller, &request.reset_id).await
        });
        let reset = Some(convert::reset(&found.await?));
        Ok(Response::new(GetResetResponse { reset }))
    }

    async fn list_resets(&self, request: Request<ListResetsRequest>) -> Result<Response<ListResetsResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let page = Page::new(request.page_size, &request.page_token)?;
            let may = caller.may_list(Verb::Reset, &request.group)?;
            let mut resets = self.bus().resets(may, page.after.as_deref(), page.size + 1).await?;
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

/// What is addressed by its id: of a group that the caller has no right for, it is as if it were not there.
impl Services {
    async fn plan_of(&self, caller: &Caller, id: &str) -> Result<ResetPlan> {
        let plan = self.bus().reset_plan(id).await?;
        match caller.on_group(Verb::Reset, &plan.group) {
            Ok(()) => Ok(plan),
            Err(_) => Err(no_such_reset(Reason::PlanNotFound, id)),
        }
    }

    async fn reset_of(&self, caller: &Caller, id: &str) -> Result<ResetInfo> {
        // Also a plan that was not applied is somebody's.
        let group = self.bus().reset_plan(id).await.map(|plan| plan.group);
        match group.and_then(|group| caller.on_group(Verb::Reset, &group)) {
            Ok(()) => self.bus().reset(id).await,
            Err(error) if matches!(error.reason(), Reason::PlanNotFound | Reason::PermissionDenied) => {
                Err(no_such_reset(Reason::ResetNotFound, id))
            }
            Err(error) => Err(error),
        }
    }

    /// The group, the topics that it may be created with, and what the target names.
    async fn check_plan(&self, caller: &Caller, asked: &PlanReset) -> Result<()> {
        caller.on_group(Verb::Reset, &asked.group)?;
        let scope = caller.rights().topics_of(Verb::Reset, &asked.group);
        if let Some(topic) = asked.topics.iter().find(|topic| !scope.allows(topic)) {
            caller.denied(Verb::Reset, format!("topic {topic}"))?;
        }
        match &asked.target {
            Target::CommittedBy(group) => caller.on_group(Verb::Reset, group),
            Target::UndoReset(id) if caller.is_known() => self.reset_of(caller, id).await.map(|_| ()),
            Target::Snapshot(name) => {
                let name = convert::snapshot_name(name, "target.snapshot")?;
                caller.on_start(Verb::Reset, &scope, Some(&Start::Snapshot(name)))
            }
            _ => Ok(()),
        }
    }
}
