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
    auth::Rights,
    bus::{Answers, CommandTarget},
    error::{Error, Result},
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
            let target = send.target.clone();
            let answers = self.bus().send_command(send).await.map_err(|error| status(&error))?;
            Ok((target, answers))
        });
        let (target, sent) = sending.await?;
        let lifetime = caller.lifetime(Arc::new(move |rights| may(rights, &target)));
        let answers = lifetime.cut(answers(sent));
        Ok(Response::new(deadline::cut(answers, end_at)))
    }
}

fn check(caller: &Caller, target: &CommandTarget) -> Result<()> {
    may(&caller.rights(), target).inspect_err(|denied| caller.note(denied))
}

/// Whose instance an id is, is not known before: it needs the right for every group.
fn may(rights: &Rights, target: &CommandTarget) -> Result<()> {
    let what = match target {
        CommandTarget::Group(group) if rights.on_group(Verb::Command, group) => return Ok(()),
        CommandTarget::Instance(_) if rights.on_every_group(Verb::Command) => return Ok(()),
        CommandTarget::Group(group) => format!("group {group}"),
        CommandTarget::Instance(id) => format!("instance {id}, which needs it for all groups (**)"),
    };
    Err(Error::denied(Verb::Command, what))
}

fn answers(answers: Answers) -> impl Stream<Item = Result<SendCommandResponse, Status>> + Send {
    stream::unfold(answers, |mut answers| async {
        let answer = answers.next().await?;
        let message = answer.map(convert::command_answer).map_err(|error| status(&error));
        Some((message, answers))
    })
}
