//! The connection to a server: one channel, and a client for each service on it.

use std::time::Duration;

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{
    arguments::Global,
    failure::{Failure, Result},
    tls,
};
use crate::proto::tidings::v1::{
    command_service_client::CommandServiceClient, dead_letter_service_client::DeadLetterServiceClient,
    offset_service_client::OffsetServiceClient, publisher_service_client::PublisherServiceClient,
    replay_service_client::ReplayServiceClient, state_service_client::StateServiceClient,
    subscriber_service_client::SubscriberServiceClient, system_service_client::SystemServiceClient,
    topic_service_client::TopicServiceClient,
};

/// No server sends larger messages than 4 MiB unless it is configured to take larger events.
const MAX_MESSAGE_BYTES: usize = 1 << 30;

/// A channel that adds our token to each call.
pub(super) type Service = InterceptedService<Channel, Authorize>;

/// A connection; cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    service: Service,
}

impl Client {
    /// Connects, so that a wrong address is told at once and in plain words.
    pub(super) async fn connect(global: &Global) -> Result<Self> {
        let endpoint = endpoint(global)?;
        let authorize = Authorize::new(global.token.as_deref())?;
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = innermost(&error);
            let server = &global.server;
            Failure::Local(format!(
                "cannot reach {server}: {cause}; start a server with: tidings serve"
            ))
        })?;
        Ok(Self {
            service: InterceptedService::new(channel, authorize),
        })
    }

    pub(super) fn publisher(&self) -> PublisherServiceClient<Service> {
        PublisherServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(super) fn subscriber(&self) -> SubscriberServiceClient<Service> {
        SubscriberServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(super) fn topics(&self) -> TopicServiceClient<Service> {
        TopicServiceClient::new(self.service.clone())
    }

    pub(super) fn offsets(&self) -> OffsetServiceClient<Service> {
        OffsetServiceClient::new(self.service.clone())
    }

    pub(super) fn replays(&self) -> ReplayServiceClient<Service> {
        ReplayServiceClient::new(self.service.clone())
    }

    pub(super) fn dead_letters(&self) -> DeadLetterServiceClient<Service> {
        DeadLetterServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(super) fn state(&self) -> StateServiceClient<Service> {
        StateServiceClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(super) fn commands(&self) -> CommandServiceClient<Service> {
        CommandServiceClient::new(self.service.clone())
    }

    pub(super) fn system(&self) -> SystemServiceClient<Service> {
        SystemServiceClient::new(self.service.clone())
    }
}

/// Adds `authorization: Bearer …`.
#[derive(Clone)]
pub(super) struct Authorize(Option<MetadataValue<Ascii>>);

impl Authorize {
    fn new(token: Option<&str>) -> Result<Self> {
        let value = |token: &str| -> Result<_> {
            let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
                .parse()
                .map_err(|_| Failure::usage("the token is not one: it has characters that no header can carry"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(Self(token.filter(|token| !token.is_empty()).map(value).transpose()?))
    }
}

impl Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

fn endpoint(global: &Global) -> Result<Endpoint> {
    let has_files = global.ca.is_some() || global.cert.is_some() || global.tls_key.is_some();
    let (is_encrypted, address) = match global.server.split_once("://") {
        None => (has_files, global.server.as_str()),
        Some(("http", _)) if has_files => {
            return Err(Failure::usage(
                "--server: http:// is not encrypted; with --ca, --cert or --key it is https://",
            ));
        }
        Some(("http", address)) => (false, address),
        Some(("https", address)) => (true, address),
        Some((scheme, _)) => return Err(Failure::usage(format!("--server: no such scheme: {scheme}"))),
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|_| {
        Failure::usage(format!(
            "--server: not host:port, http://host:port or https://host:port: {}",
            global.server
        ))
    })?;
    let endpoint = match is_encrypted {
        true => endpoint
            .tls_config(tls::config(global)?)
            .map_err(|error| Failure::usage(format!("--ca, --cert, --key: {}", innermost(&error))))?,
        false => endpoint,
    };
    Ok(endpoint
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20)))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::arguments::Arguments;

    #[test]
    fn servers_are_named_with_or_without_a_scheme() {
        for (given, uri) in [
            ("h:1", "http://h:1/"),
            ("http://h:1", "http://h:1/"),
            ("127.0.0.1:4480", "http://127.0.0.1:4480/"),
            ("[::1]:4480", "http://[::1]:4480/"),
            ("https://h:1", "https://h:1/"),
        ] {
            assert_eq!(
                endpoint(&global(&["--server", given])).expect(given).uri().to_string(),
                uri
            );
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for flags in [
            &["--server", "ftp://h:1"][..],
            &["--server", "a b"],
            &["--ca", "no-such-file"],
            &["--cert", "no-such-file"],
            &["--key", "no-such-file"],
            &["--server", "http://h:1", "--ca", "f"],
        ] {
            assert_eq!(endpoint(&global(flags)).expect_err(flags[0]).exit_status(), 64);
        }
    }

    fn global(flags: &[&str]) -> Global {
        let line = ["tidings", "info"].iter().chain(flags);
        Arguments::try_parse_from(line).expect("good").global
    }
}
