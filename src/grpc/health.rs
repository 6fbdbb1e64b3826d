//! The standard health service: whether services take calls, now and as it changes.

use std::{collections::HashMap, pin::Pin};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::SERVICES;
use crate::proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus, health_server::Health as HealthService,
};

/// All services take calls together or not at all.
#[derive(Clone)]
pub struct Health(watch::Receiver<bool>);

impl Health {
    pub fn new(serving: watch::Receiver<bool>) -> Self {
        Self(serving)
    }

    fn now(&self) -> HealthCheckResponse {
        response(*self.0.borrow())
    }
}

impl Health {
    /// Whoever knows whether the server serves is gone: it stops.
    fn until_stop(&self) -> impl Future<Output = ()> + use<> {
        let mut serving = self.0.clone();
        async move { while serving.changed().await.is_ok() {} }
    }
}

fn response(serving: bool) -> HealthCheckResponse {
    let status = if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    HealthCheckResponse { status: status.into() }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || SERVICES.contains(&service)
}

#[tonic::async_trait]
impl HealthService for Health {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if is_known(&request.get_ref().service) {
            return Ok(Response::new(self.now()));
        }
        Err(Status::not_found("no such service"))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let names = SERVICES.into_iter().chain([""]);
        let statuses: HashMap<_, _> = names.map(|name| (name.to_owned(), self.now())).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.get_ref().service) {
            let unknown = HealthCheckResponse {
                status: ServingStatus::ServiceUnknown.into(),
            };
            let until_stop = self.until_stop();
            return Ok(Response::new(Box::pin(
                stream::iter([Ok(unknown)]).chain(stream::pending().take_until(until_stop)),
            )));
        }
        let mut serving = self.0.clone();
        serving.mark_changed();
        let changes = stream::unfold(serving, |mut serving| async {
            serving.changed().await.ok()?;
            let now = *serving.borrow_and_update();
            Some((Ok(response(now)), serving))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
