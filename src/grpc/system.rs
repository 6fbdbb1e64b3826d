//! SystemService: what this server is.

use tonic::{Request, Response, Status};

use super::{Services, caller::Caller, convert};
use crate::{
    bus::Bus,
    proto::tidings::v1::{GetInfoRequest, GetInfoResponse, Limits, system_service_server::SystemService},
};

/// What there is beyond publishing, subscribing and reading, by name.
const FEATURES: [&str; 7] = [
    "commands",
    "dead-letters",
    "filters",
    "patterns",
    "replays",
    "resets",
    "restore",
];
/// What there is where an object store is configured.
const WITH_STORE: [&str; 2] = ["checkpoints", "snapshots"];

pub(super) fn features(bus: &Bus) -> Vec<String> {
    let with_store = bus.has_store().then_some(WITH_STORE).into_iter().flatten();
    FEATURES.into_iter().chain(with_store).map(str::to_owned).collect()
}

#[tonic::async_trait]
impl SystemService for Services {
    async fn get_info(&self, request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        let (bus, limits) = (self.bus(), self.limits());
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(Response::new(GetInfoResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            replica_id: bus.replica_id().to_owned(),
            log_backend: self.0.log_backend.to_owned(),
            features: features(bus),
            limits: Some(Limits {
                max_event_bytes: number(bus.settings().max_event_bytes),
                max_request_bytes: number(limits.max_request_bytes),
                max_request_events: i32::try_from(limits.max_request_events).unwrap_or(i32::MAX),
                publish_timeout: Some(super::duration(limits.publish_timeout)),
                max_credit: Some(convert::wire_credit(bus.settings().max_credit)),
            }),
            start_time: Some(super::timestamp(bus.started())),
            principal: caller.name().to_owned(),
            tenant: caller.tenant().to_owned(),
            token_expire_time: caller.token_expires().map(super::timestamp),
        }))
    }
}
