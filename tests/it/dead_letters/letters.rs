//! Dead letters for tests: written through the store as a group would, and looked at through the service.

use std::sync::Arc;

use bytes::Bytes;
use tidings::{
    bus::dead_letters::{DeadLetters, Letter, LetterId, LetterReason, Store, Why},
    log::{Headers, HeadersBuilder, Log, LogTime, Record, TopicPartition},
    name::{Group, Topic, template::TopicTemplate},
    proto::tidings::v1::{
        DeadLetter, DeadLetterFilter, DeadLetterResult, DeadLetterState, DiscardDeadLettersRequest,
        DiscardDeadLettersResponse, ListDeadLettersRequest, ListDeadLettersResponse, RedriveDeadLettersRequest,
        RedriveDeadLettersResponse, dead_letter_service_client::DeadLetterServiceClient,
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, transport::Channel};

use crate::harness::{Server, clients::ORDERS, within};

pub(crate) const GROUP: &str = "billing";

/// The event of this id, given up for `why`; its key is `key`.
pub(crate) fn letter(offset: i64, key: &str, why: Why) -> Letter {
    let mut headers = HeadersBuilder::default();
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &offset.to_string()),
        ("ce_source", "/test"),
        ("ce_type", "io.shop.orders.created"),
        ("ce_subject", key),
        ("content-type", "text/plain"),
    ] {
        headers.add(name, value.as_bytes());
    }
    with(offset, key, headers.build(), why)
}

/// A record that is no well-formed event.
pub(crate) fn unreadable(offset: i64) -> Letter {
    let mut headers = HeadersBuilder::default();
    headers.add("ce_id", b"");
    with(offset, "k", headers.build(), Why::new(LetterReason::Undecodable))
}

fn with(offset: i64, key: &str, headers: Headers, why: Why) -> Letter {
    Letter {
        source: TopicPartition {
            topic: Topic::new(ORDERS).expect("valid"),
            partition: 1,
        },
        record: Record {
            offset,
            time: LogTime(1_700_000_000_000 + offset),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: Some(format!("data {offset}").into()),
            headers,
        },
        why,
    }
}

pub(crate) fn nacked() -> Why {
    Why::new(LetterReason::Nacked)
}

/// Later events of its key wait behind it.
pub(crate) fn head() -> Why {
    Why {
        quarantine: true,
        ..nacked()
    }
}

pub(crate) fn behind(head: &Letter) -> Why {
    Why {
        behind: Some(id_of(head)),
        ..Why::new(LetterReason::Behind)
    }
}

pub(crate) fn group() -> Group {
    Group::new(GROUP).expect("valid")
}

pub(crate) fn id_of(letter: &Letter) -> LetterId {
    LetterId::of(&group(), letter)
}

pub(crate) fn id(letter: &Letter) -> String {
    id_of(letter).to_string()
}

/// The group's store on a log of the test's own.
pub(crate) fn store(log: Arc<dyn Log>) -> Arc<Store> {
    store_at("tidings.dead-letters.{group}", log)
}

/// The same where the topic is named otherwise.
pub(crate) fn store_at(template: &str, log: Arc<dyn Log>) -> Arc<Store> {
    let template = TopicTemplate::new(template).expect("valid");
    let all = DeadLetters::new(log, template, TaskTracker::new(), CancellationToken::new());
    all.of(&group()).expect("a store")
}

impl Server {
    pub(crate) fn dead_letters(&self) -> DeadLetterServiceClient<Channel> {
        DeadLetterServiceClient::new(self.channel())
    }

    /// Starts with these letters there.
    pub(crate) async fn with_letters(letters: &[Letter]) -> Self {
        Self::start().await.and_letters(letters).await
    }

    /// Writes letters while the server is away for a moment.
    pub(crate) async fn and_letters(self, letters: &[Letter]) -> Self {
        let written = async |log| store(log).write(letters.to_vec()).await.expect("written");
        self.with_log(written).await
    }

    pub(crate) async fn letters_page(
        &self,
        request: ListDeadLettersRequest,
    ) -> Result<ListDeadLettersResponse, Status> {
        let page = within("a page of letters", self.dead_letters().list_dead_letters(request)).await?;
        Ok(page.into_inner())
    }

    /// The ids of the letters that match, newest first.
    pub(crate) async fn matching(&self, matching: DeadLetterFilter) -> Vec<String> {
        let letters = self.letters(matching).await;
        letters.into_iter().map(|letter| letter.id).collect()
    }

    pub(crate) async fn letters(&self, matching: DeadLetterFilter) -> Vec<DeadLetter> {
        let request = ListDeadLettersRequest {
            group: GROUP.to_owned(),
            matching: Some(matching),
            ..Default::default()
        };
        self.letters_page(request).await.expect("a page").dead_letters
    }

    /// States by id, newest first.
    pub(crate) async fn states(&self) -> Vec<(String, DeadLetterState)> {
        let letters = self.letters(DeadLetterFilter::default()).await;
        letters
            .into_iter()
            .map(|letter| (letter.id.clone(), letter.state()))
            .collect()
    }

    pub(crate) async fn redrive(
        &self,
        request: RedriveDeadLettersRequest,
    ) -> Result<RedriveDeadLettersResponse, Status> {
        let answer = within("a redrive", self.dead_letters().redrive_dead_letters(request)).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn discard(
        &self,
        request: DiscardDeadLettersRequest,
    ) -> Result<DiscardDeadLettersResponse, Status> {
        let answer = within("a discard", self.dead_letters().discard_dead_letters(request)).await?;
        Ok(answer.into_inner())
    }
}

pub(crate) fn redrive(ids: &[String]) -> RedriveDeadLettersRequest {
    RedriveDeadLettersRequest {
        group: GROUP.to_owned(),
        ids: ids.to_vec(),
        ..Default::default()
    }
}

pub(crate) fn discard(ids: &[String]) -> DiscardDeadLettersRequest {
    DiscardDeadLettersRequest {
        group: GROUP.to_owned(),
        ids: ids.to_vec(),
        reason: "of no use".to_owned(),
        ..Default::default()
    }
}

/// What was done, by id.
pub(crate) fn outcomes(results: &[DeadLetterResult]) -> Vec<(String, String)> {
    let outcome = |result: &DeadLetterResult| {
        let name = result.outcome().as_str_name();
        (
            result.id.clone(),
            name.trim_start_matches("DEAD_LETTER_OUTCOME_").to_owned(),
        )
    };
    results.iter().map(outcome).collect()
}
