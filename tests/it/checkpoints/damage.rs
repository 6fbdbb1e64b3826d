//! What is damaged in the store is told, and never handed out as good.

use std::{fs, path::Path};

use tonic::Code;

use super::{Bed, MIB, generations, get, header, noise, put, put_in, read, text, try_put};
use crate::harness::status::{refused, resource};

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("read a file");
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("write a file");
}

#[tokio::test]
async fn a_damaged_part_is_told_and_only_what_is_whole_before_it_is_sent() {
    let bed = Bed::start().await;
    let bytes = noise(9 * MIB);
    put_in(&bed.server, header("c"), (&bytes, MIB)).await.expect("put");
    let parts = bed.parts("c");
    assert_eq!(parts.len(), 3);
    let whole = fs::read(&parts[1]).expect("read a file");
    type Harm = fn(&Path, &[u8]);
    let harms: [(&str, Harm); 4] = [
        ("flipped", |file, whole| flip(file, whole.len() / 2)),
        ("cut", |file, whole| {
            fs::write(file, &whole[..whole.len() - 1]).expect("write a file")
        }),
        ("longer", |file, whole| {
            fs::write(file, [whole, b"x"].concat()).expect("write a file")
        }),
        ("gone", |file, _| fs::remove_file(file).expect("remove a file")),
    ];
    for (what, harm) in harms {
        harm(&parts[1], &whole);
        let (checkpoint, got, end) = read(&bed.server, "c", 0).await;
        let status = refused(end, Code::DataLoss, "STORE_DAMAGED");
        assert_eq!(resource(&status), "c@1", "{what}");
        assert!(
            checkpoint.is_some() && got == bytes[..got.len()] && got.len() <= 4 * MIB,
            "{what}"
        );
        fs::write(&parts[1], &whole).expect("write a file");
    }
    // Whole parts in the wrong order are not what was put.
    fs::write(&parts[0], &whole).expect("write a file");
    refused(read(&bed.server, "c", 0).await.2, Code::DataLoss, "STORE_DAMAGED");
}

#[tokio::test]
async fn a_damaged_manifest_is_told_and_listed_and_older_and_newer_generations_are_there() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    put(&bed.server, header("c"), "two").await;
    let manifests = bed.manifests("c");
    let whole = fs::read(&manifests[1]).expect("read a file");
    let middle = whole.len() / 2;
    for harmed in [
        whole[..middle].to_vec(),
        Vec::new(),
        b"tidings-checkpoint 1 00000000\n{}".to_vec(),
        // That of another generation.
        fs::read(&manifests[0]).expect("read a file"),
    ] {
        fs::write(&manifests[1], harmed).expect("write a file");
        let status = refused(get(&bed.server, "c", 0).await, Code::DataLoss, "STORE_DAMAGED");
        assert_eq!(resource(&status), "c@2");
        assert!(
            status.message().contains("c@1"),
            "it names the one before: {}",
            status.message()
        );
    }
    assert_eq!(generations(&bed.server, "c").await, ["c@2 damaged", "c@1"]);
    assert_eq!(generations(&bed.server, "").await, ["c@2 damaged"]);
    assert_eq!(get(&bed.server, "c", 1).await.expect("get").1, b"one");
    let follows = tidings::proto::tidings::v1::PutCheckpointHeader {
        expected_generation: Some(2),
        ..header("c")
    };
    assert_eq!(put(&bed.server, follows, "three").await.generation, 3);
    assert_eq!(text(&bed.server, "c").await, "three");
}

#[tokio::test]
async fn what_else_lies_in_the_store_is_no_checkpoint() {
    let bed = Bed::start().await;
    put(&bed.server, header("c"), "one").await;
    let folder = bed.objects().join("checkpoints");
    for other in [
        "a b/generations/00000000000000000001",
        "c/generations/notes.txt",
        "empty/other/x",
        "loose",
    ] {
        let file = folder.join(other);
        fs::create_dir_all(file.parent().expect("a folder")).expect("make a directory");
        fs::write(file, "x").expect("write a file");
    }
    assert_eq!(generations(&bed.server, "").await, ["c@1"]);
    assert_eq!(generations(&bed.server, "c").await, ["c@1"]);
    try_put(&bed.server, header("c"), "two").await.expect("put");
    assert_eq!(text(&bed.server, "c").await, "two");
}
