//! HTTP to the collector: OpenTelemetry sends from threads of its own, the client works on the server's runtime.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::redirect;
use tokio::runtime::Handle;

use super::failed;
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl Client {
    /// On the runtime that this is called on.
    pub(super) fn new(timeout: Duration) -> Result<Self> {
        // What it is sent is for it alone.
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .build();
        Ok(Self {
            client: client.map_err(|error| failed("set up telemetry.otlp", error))?,
            runtime: Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, request) = (self.client.clone(), request.try_into()?);
        let sent = self.runtime.spawn(async move {
            let mut answer = client.execute(request).await?;
            let headers = std::mem::take(answer.headers_mut());
            Ok::<_, reqwest::Error>((answer.status(), headers, answer.bytes().await?))
        });
        let (status, headers, body) = sent.await??;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
