//! `tidings info`: what the server is and what its limits are.

use super::{
    client::Client,
    failure::{Failure, Result},
    output::Output,
    table::Pairs,
    words,
};
use crate::proto::tidings::v1::{GetInfoRequest, GetInfoResponse};

pub(super) async fn run(client: &Client, output: &mut Output) -> Result<()> {
    let response = client.system().get_info(GetInfoRequest {}).await;
    let info = response.map_err(Failure::call("get info"))?.into_inner();
    output.one(text(&info), &info)
}

fn text(info: &GetInfoResponse) -> String {
    let limits = info.limits.unwrap_or_default();
    let credit = limits.max_credit.unwrap_or_default();
    Pairs(&[
        ("version", info.server_version.clone()),
        ("replica", info.replica_id.clone()),
        ("log", info.log_backend.clone()),
        (
            "features",
            words::or_dash((!info.features.is_empty()).then(|| info.features.join(" "))),
        ),
        ("started", words::time(info.start_time.as_ref())),
        ("you are", info.principal.clone()),
        (
            "of tenant",
            words::or_dash((!info.tenant.is_empty()).then(|| info.tenant.clone())),
        ),
        ("largest event", words::size_or(limits.max_event_bytes, "-")),
        ("largest request", words::size_or(limits.max_request_bytes, "-")),
        ("events per request", limits.max_request_events.to_string()),
        ("publish timeout", words::duration(limits.publish_timeout.as_ref())),
        (
            "largest credit",
            format!("{} events, {}", credit.events, words::size_or(credit.bytes, "-")),
        ),
    ])
    .to_string()
}
