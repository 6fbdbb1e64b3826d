//! Compiles proto/ with protox: no protoc binary is needed.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

const PROTOS: [&str; 13] = [
    "tidings/v1/types.proto",
    "tidings/v1/publisher.proto",
    "tidings/v1/subscriber.proto",
    "tidings/v1/topics.proto",
    "tidings/v1/offsets.proto",
    "tidings/v1/dead_letters.proto",
    "tidings/v1/state.proto",
    "tidings/v1/commands.proto",
    "tidings/v1/replays.proto",
    "tidings/v1/system.proto",
    "grpc/health/v1/health.proto",
    // What the command line sends and shows as JSON.
    "google/protobuf/struct.proto",
    "google/protobuf/wrappers.proto",
];

const CARRY_EVENTS: [&str; 3] = [
    "tidings/v1/publisher.proto",
    "tidings/v1/subscriber.proto",
    "tidings/v1/state.proto",
];

const LEAN: [&str; 5] = [
    "PublishRequest",
    "PublishStreamRequest",
    "SubscribeResponse",
    "ReadResponse",
    "RestoreResponse",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let servers = servers_of(&descriptors);
    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    compile_servers(servers, &out.join("lean"))
}

/// The files of the services that every event passes.
fn servers_of(descriptors: &FileDescriptorSet) -> FileDescriptorSet {
    let carries_events = |file: &&FileDescriptorProto| CARRY_EVENTS.contains(&file.name());
    FileDescriptorSet {
        file: descriptors.file.iter().filter(carries_events).cloned().collect(),
    }
}

/// Their servers once more, on messages that are cheaper to read and write (src/proto/lean.rs).
fn compile_servers(descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let mut config = tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::proto::lean::LeanCodec")
        .out_dir(out)
        .extern_path(".google", "::prost_types")
        .extern_path(".io.cloudevents.v1", "crate::proto::io::cloudevents::v1")
        .extern_path(".tidings.v1", "crate::proto::tidings::v1");
    for name in LEAN {
        config = config.extern_path(format!(".tidings.v1.{name}"), format!("crate::proto::lean::{name}"));
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
