//! CommandService: commands to instances, and what becomes of them.

use std::sync::Arc;

use futures_util::{
    Stream,
    stream::{self, BoxStream},
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Services, asked, caller::Caller, convert, deadline, status::status};
use crate::{
    bus::{Answers, CommandTarget},
    error::Result,
    name::Verb,
    proto::tidings::v1::{SendCommandRequest, SendCommandResponse, command_service_server::CommandService},
};

#[tonic::async_trait]
impl CommandService for Services {
    type SendCommandStream = BoxStream<'static, Result<SendCommandResponse, Status>>;

    async fn send_command(
        &self,
        request: Request<SendCommandRequest>,
    ) -> Result<Response<Self::SendCommandStream>, Status> {
        let (metadata, extensions, mut request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let end_at = deadline::end_of_stream(&metadata);
        // The last answers are on their way before the call ends.
        let left = end_at.map(|end_at| deadline::less_margin(end_at.saturating_duration_since(Instant::now())));
        let sending = deadline::before(end_at, async {
            let send = asked::reason(std::mem::take(&mut request.reason))
                .and_then(|reason| convert::send_command(request, (reason, caller.name()), left))
                .and_then(|send| check(&caller, &send.target).map(|()| send))
                .map_err(|error| status(&error))?;
            self.bus().send_command(send).await.map_err(|error| status(&error))
        });
        let lifetime = caller.lifetime(Arc::new(|_| Ok(())));
        let answers = lifetime.cut(answers(sending.await?));
        Ok(Response::new(deadline::cut(answers, end_at)))
    }
}

/// Whose instance an id is, is not known before: it needs the right for every group.
fn check(caller: &Caller, target: &CommandTarget) -> Result<()> {
    match target {
        CommandTarget::Group(group) => caller.on_group(Verb::Command, group),
        CommandTarget::Instance(_) if caller.rights().on_every_group(Verb::Command) => Ok(()),
        CommandTarget::Instance(id) => caller.denied(
            Verb::Command,
            format!("instance {id}, which needs it for all groups (**)"),
        ),
    }
}

fn answers(answers: Answers) -> impl Stream<Item = Result<SendCommandResponse, Status>> + Send {
    stream::unfold(answers, |mut answers| async {
        let answer = answers.next().await?;
        let message = answer.map(convert::command_answer).map_err(|error| status(&error));
        Some((message, answers))
    })
}
