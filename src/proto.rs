//! The generated wire types, and the conversion of the one message that every door needs: the event.

pub mod event;
pub mod lean;

#[allow(clippy::all, clippy::too_many_lines, rustdoc::all, reason = "generated")]
pub mod tidings {
    pub mod v1 {
        tonic::include_proto!("tidings.v1");
    }
}

#[allow(clippy::all, clippy::too_many_lines, rustdoc::all, reason = "generated")]
pub mod io {
    pub mod cloudevents {
        pub mod v1 {
            tonic::include_proto!("io.cloudevents.v1");
        }
    }
}

#[allow(clippy::all, clippy::too_many_lines, rustdoc::all, reason = "generated")]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// All files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
