//! DeadLetterService: looking at dead letters, redriving and discarding them.

use tonic::{Request, Response, Status};

use super::{
    Services, asked,
    caller::Caller,
    convert::{self, Shown, dead_letter},
    deadline::bounded,
    page::{Page, token},
};
use crate::{
    bus::dead_letters::{self, Asked, LetterInfo, Moved},
    error::Result,
    name::{Group, Verb},
    proto::tidings::v1::{
        DeadLetter, DiscardDeadLettersRequest, DiscardDeadLettersResponse, GetDeadLetterRequest, GetDeadLetterResponse,
        ListDeadLettersRequest, ListDeadLettersResponse, RedriveDeadLettersRequest, RedriveDeadLettersResponse,
        dead_letter_service_server::DeadLetterService,
    },
};

#[tonic::async_trait]
impl DeadLetterService for Services {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let listed = bounded(&metadata, self.limits().publish_timeout, async {
            let group = Group::new(&request.group)?;
            caller.on_group(Verb::DeadLetter, &group)?;
            let page = Page::new(request.page_size, &request.page_token)?;
            let (filter, before) = (convert::letter_filter(request.matching)?, page.before()?);
            let listed = self.bus().dead_letters(&group, &filter, before, page.size).await?;
            Ok(ListDeadLettersResponse {
                dead_letters: letters(&group, &listed.letters),
                next_page_token: listed.next.map(|next| token(&next.to_string())).unwrap_or_default(),
            })
        });
        listed.await.map(Response::new)
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let shown = match request.include_event {
            true => Shown::WithEvent,
            false => Shown::WithoutEvent,
        };
        let found = bounded(&metadata, self.limits().publish_timeout, async {
            let (group, id) = (Group::new(&request.group)?, convert::letter_id(&request.id, "id")?);
            caller.on_group(Verb::DeadLetter, &group)?;
            let info = self.bus().dead_letter(&group, id).await?;
            Ok(dead_letter(&group, &info, shown))
        });
        let dead_letter = Some(found.await?);
        Ok(Response::new(GetDeadLetterResponse { dead_letter }))
    }

    async fn redrive_dead_letters(
        &self,
        request: Request<RedriveDeadLettersRequest>,
    ) -> Result<Response<RedriveDeadLettersResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let redriven = bounded(&metadata, self.limits().publish_timeout, async {
            let group = Group::new(&request.group)?;
            caller.on_group(Verb::DeadLetter, &group)?;
            let selection = convert::selection(&request.ids, request.matching)?;
            let asked = asked(request.request_id, request.reason, &caller)?;
            if request.validate_only {
                let (moved, sample) = self
                    .bus()
                    .try_move_letters(&group, dead_letters::Verb::Redrive, &selection)
                    .await?;
                return Ok(redriven(String::new(), &moved, letters(&group, &sample)));
            }
            let redrive_id = asked.id.clone();
            let moved = self
                .bus()
                .move_letters(&group, dead_letters::Verb::Redrive, selection, asked)
                .await?;
            Ok(redriven(redrive_id, &moved, Vec::new()))
        });
        redriven.await.map(Response::new)
    }

    async fn discard_dead_letters(
        &self,
        request: Request<DiscardDeadLettersRequest>,
    ) -> Result<Response<DiscardDeadLettersResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let caller = Caller::of(&extensions)?;
        let discarded = bounded(&metadata, self.limits().publish_timeout, async {
            let group = Group::new(&request.group)?;
            caller.on_group(Verb::DeadLetter, &group)?;
            let selection = convert::selection(&request.ids, request.matching)?;
            if request.reason.trim().is_empty() && !request.validate_only {
                return Err(convert::invalid("reason", "is empty: say why these are given up"));
            }
            let asked = asked(request.request_id, request.reason, &caller)?;
            if request.validate_only {
                let (moved, sample) = self
                    .bus()
                    .try_move_letters(&group, dead_letters::Verb::Discard, &selection)
                    .await?;
                return Ok(discarded(&moved, letters(&group, &sample)));
            }
            let moved = self
                .bus()
                .move_letters(&group, dead_letters::Verb::Discard, selection, asked)
                .await?;
            Ok(discarded(&moved, Vec::new()))
        });
        discarded.await.map(Response::new)
    }
}

/// The request as it is kept.
fn asked(id: String, reason: String, caller: &Caller) -> Result<Asked> {
    Ok(Asked {
        id: asked::request_id(id)?,
        by: caller.name().to_owned(),
        reason: asked::reason(reason)?,
    })
}

fn letters(group: &Group, infos: &[LetterInfo]) -> Vec<DeadLetter> {
    let letter = |info| dead_letter(group, info, Shown::WithoutEvent);
    infos.iter().map(letter).collect()
}

fn redriven(redrive_id: String, moved: &Moved, sample: Vec<DeadLetter>) -> RedriveDeadLettersResponse {
    RedriveDeadLettersResponse {
        redrive_id,
        count: count(moved.count),
        results: convert::letter_results(moved),
        sample,
    }
}

fn discarded(moved: &Moved, sample: Vec<DeadLetter>) -> DiscardDeadLettersResponse {
    DiscardDeadLettersResponse {
        count: count(moved.count),
        freed_count: count(moved.freed),
        results: convert::letter_results(moved),
        sample,
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
