//! CommandService: commands to instances, and what becomes of them.

use futures_util::{
    Stream,
    stream::{self, BoxStream},
};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Services, asked, caller::Caller, convert, deadline, status::status};
use crate::{
    bus::Answers,
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
                .map_err(|error| status(&error))?;
            self.bus().send_command(send).await.map_err(|error| status(&error))
        });
        let (lifetime, _) = caller.lifetime();
        let answers = lifetime.cut(answers(sending.await?));
        Ok(Response::new(deadline::cut(answers, end_at)))
    }
}

fn answers(answers: Answers) -> impl Stream<Item = Result<SendCommandResponse, Status>> + Send {
    stream::unfold(answers, |mut answers| async {
        let answer = answers.next().await?;
        let message = answer.map(convert::command_answer).map_err(|error| status(&error));
        Some((message, answers))
    })
}
