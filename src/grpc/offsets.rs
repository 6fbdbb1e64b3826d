//! OffsetService: looking at groups.

use tonic::{Request, Response, Status};

use super::{Services, convert, deadline::bounded, page::Page};
use crate::{
    name::Group,
    proto::tidings::v1::{
        GetGroupRequest, GetGroupResponse, ListGroupsRequest, ListGroupsResponse, offset_service_server::OffsetService,
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
        let replica_id = self.bus().replica_id();
        let groups = groups
            .iter()
            .map(|info| convert::group(info, replica_id, false))
            .collect();
        Ok(Response::new(ListGroupsResponse {
            groups,
            next_page_token,
        }))
    }

    async fn get_group(&self, request: Request<GetGroupRequest>) -> Result<Response<GetGroupResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let info = bounded(&metadata, self.limits().publish_timeout, async {
            self.bus().group(&Group::new(&request.group)?).await
        });
        let group = convert::group(&info.await?, self.bus().replica_id(), true);
        Ok(Response::new(GetGroupResponse { group: Some(group) }))
    }
}
