//! tonic services: convert, call the bus, convert. Wire types and `Status` live here and nowhere below.

mod publisher;
mod publish_stream;
mod subscriber;
mod subscribe_stream;
mod read_stream;
mod topics;
mod offsets;
mod dead_letters;
mod state;
mod restore_stream;
mod checkpoints;
mod commands;
mod replays;
mod system;
mod guard;
mod health;
mod asked;
mod authenticate;
mod calls;
mod caller;
mod deadline;
mod denials;
mod methods;
mod page;
mod panics;
mod quotas;
mod size;
mod convert;
mod foreign;
mod status;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::task::TaskTracker;
use tonic::{codec::CompressionEncoding, service::Routes};

pub use authenticate::{AuthenticateLayer, Peer};
pub use calls::CallLayer;
pub use deadline::DeadlineLayer;
pub use denials::Denials;
pub use foreign::in_our_words;
pub use health::Health;
pub use panics::PanicLayer;

use crate::{
    bus::Bus,
    error::{Error, Reason, Result},
    proto::{
        DESCRIPTORS,
        health::health_server::HealthServer,
        lean::{PublisherServiceServer, StateServiceServer, SubscriberServiceServer},
        tidings::v1::{
            command_service_server::CommandServiceServer, dead_letter_service_server::DeadLetterServiceServer,
            offset_service_server::OffsetServiceServer, replay_service_server::ReplayServiceServer,
            system_service_server::SystemServiceServer, topic_service_server::TopicServiceServer,
        },
    },
    telemetry::Telemetry,
};

/// The full names of the services, as health and reflection know them.
pub const SERVICES: [&str; 9] = [
    "tidings.v1.PublisherService",
    "tidings.v1.SubscriberService",
    "tidings.v1.TopicService",
    "tidings.v1.OffsetService",
    "tidings.v1.DeadLetterService",
    "tidings.v1.StateService",
    "tidings.v1.CommandService",
    "tidings.v1.ReplayService",
    "tidings.v1.SystemService",
];

/// The decoder's limit over that of the request, so that a request over its limit is answered with sizes.
const DECODER_ROOM: usize = 4;

/// Whoever asks for health need not say who they are, so they are not let hold more.
const HEALTH_BYTES: usize = 4 << 10;

/// What requests are held against.
#[derive(Clone, Debug)]
pub struct Limits {
    pub max_request_bytes: usize,
    pub max_request_events: usize,
    pub publish_timeout: Duration,
    pub publish_stream_bytes: usize,
}

/// What all services share.
#[derive(Clone)]
pub struct Services(Arc<Shared>);

struct Shared {
    bus: Bus,
    telemetry: Telemetry,
    limits: Limits,
    log_backend: &'static str,
    /// Tasks that read what clients send.
    tasks: TaskTracker,
}

impl Services {
    pub fn new(
        (bus, telemetry): (Bus, Telemetry),
        limits: Limits,
        log_backend: &'static str,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Shared {
            bus,
            telemetry,
            limits,
            log_backend,
            tasks,
        }))
    }

    /// All services, with health and reflection.
    pub fn routes(self, health: Health) -> Result<Routes> {
        let limit = self.0.limits.max_request_bytes.saturating_mul(DECODER_ROOM);
        macro_rules! service {
            ($server:ident) => {
                $server::new(self.clone())
                    .max_decoding_message_size(limit)
                    .max_encoding_message_size(usize::MAX)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .accept_compressed(CompressionEncoding::Zstd)
            };
        }
        let reflection =
            || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        let broken = |error| Error::new(Reason::Internal, "build reflection").caused_by(error);
        Ok(
            Routes::new(HealthServer::new(health).max_decoding_message_size(HEALTH_BYTES))
                .add_service(reflection().build_v1().map_err(broken)?)
                .add_service(reflection().build_v1alpha().map_err(broken)?)
                .add_service(service!(PublisherServiceServer))
                .add_service(service!(SubscriberServiceServer))
                .add_service(service!(TopicServiceServer))
                .add_service(service!(OffsetServiceServer))
                .add_service(service!(DeadLetterServiceServer))
                .add_service(service!(StateServiceServer))
                .add_service(service!(CommandServiceServer))
                .add_service(service!(ReplayServiceServer))
                .add_service(service!(SystemServiceServer)),
        )
    }

    fn bus(&self) -> &Bus {
        &self.0.bus
    }

    fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

/// A point in time for the wire.
fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}

/// A length of time for the wire; longer than 10,000 years is cut.
fn duration(duration: Duration) -> prost_types::Duration {
    duration.min(MAX_DURATION).try_into().unwrap_or_default()
}

const MAX_DURATION: Duration = Duration::from_secs(315_576_000_000);
