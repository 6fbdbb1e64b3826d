//! TopicService.

use tonic::{Request, Response, Status};

use super::{Services, caller::Caller, convert, deadline::bounded, page::Page};
use crate::name::Verb;
use crate::proto::tidings::v1::{
    CreateTopicRequest, CreateTopicResponse, DeleteTopicRequest, DeleteTopicResponse, GetTopicRequest,
    GetTopicResponse, ListTopicsRequest, ListTopicsResponse, UpdateTopicRequest, UpdateTopicResponse,
    topic_service_server::TopicService,
};

#[tonic::async_trait]
impl TopicService for Services {
    async fn create_topic(
        &self,
        request: Request<CreateTopicRequest>,
    ) -> Result<Response<CreateTopicResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let created = bounded(&metadata, self.limits().publish_timeout, async {
            let topic = convert::topic(&request.name, "name")?;
            caller.on_whole_topic(Verb::Topics, &topic)?;
            let settings = convert::settings_over(self.bus().default_topic_settings(), request.settings)?;
            self.bus().create_topic(&topic, settings, caller.name()).await
        });
        let topic = Some(convert::topic_info(&created.await?, &[]));
        Ok(Response::new(CreateTopicResponse { topic }))
    }

    async fn get_topic(&self, request: Request<GetTopicRequest>) -> Result<Response<GetTopicResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            let topic = convert::topic(&request.name, "name")?;
            if !caller.rights().shows_topic(&topic) {
                caller.denied(Verb::Topics, format!("topic {topic}"))?;
            }
            self.bus().topic(&topic).await
        });
        let (info, bounds) = found.await?;
        Ok(Response::new(GetTopicResponse {
            topic: Some(convert::topic_info(&info, &bounds)),
        }))
    }

    async fn list_topics(&self, request: Request<ListTopicsRequest>) -> Result<Response<ListTopicsResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let page = Page::new(request.page_size, &request.page_token)?;
            let rights = caller.rights();
            let mut topics = self.bus().topics().await?;
            topics.retain(|info| {
                let after = page.after.as_deref().is_none_or(|after| info.name.as_str() > after);
                after && (request.internal || !info.name.is_internal()) && rights.shows_topic(&info.name)
            });
            let next_page_token = page.cut(&mut topics, |info| info.name.as_str());
            Ok((topics, next_page_token))
        });
        let (topics, next_page_token) = listed.await?;
        let topics = topics.iter().map(|info| convert::topic_info(info, &[])).collect();
        Ok(Response::new(ListTopicsResponse {
            topics,
            next_page_token,
        }))
    }

    async fn update_topic(
        &self,
        request: Request<UpdateTopicRequest>,
    ) -> Result<Response<UpdateTopicResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let updated = bounded(&metadata, self.limits().publish_timeout, async {
            let topic = convert::topic(&request.name, "name")?;
            caller.on_whole_topic(Verb::Topics, &topic)?;
            let (before, _) = self.bus().topic(&topic).await?;
            let settings = convert::settings_over(before.settings, request.settings)?;
            self.bus().update_topic(&topic, settings, caller.name()).await
        });
        let topic = Some(convert::topic_info(&updated.await?, &[]));
        Ok(Response::new(UpdateTopicResponse { topic }))
    }

    async fn delete_topic(
        &self,
        request: Request<DeleteTopicRequest>,
    ) -> Result<Response<DeleteTopicResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        bounded(&metadata, self.limits().publish_timeout, async {
            let topic = convert::topic(&request.name, "name")?;
            caller.on_whole_topic(Verb::Topics, &topic)?;
            self.bus().delete_topic(&topic, caller.name()).await
        })
        .await?;
        Ok(Response::new(DeleteTopicResponse {}))
    }
}
