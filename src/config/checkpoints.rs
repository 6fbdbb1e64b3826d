//! `[checkpoints]`: how many generations are kept, how large they may be, how many are on their way at once.

use super::{reader::Reader, units::ByteSize};

/// `[checkpoints]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checkpoints {
    pub keep: u32,
    pub max_bytes: ByteSize,
    pub transfers: u32,
}

pub(super) fn read(reader: &mut Reader) -> Checkpoints {
    let size = |size: ByteSize| (1..=1 << 40).contains(&size.0);
    Checkpoints {
        keep: reader.take_if("checkpoints.keep", |count: u32| (1..=100).contains(&count), "1 to 100"),
        max_bytes: reader.take_if("checkpoints.max_bytes", size, "1 byte to 1024GiB"),
        transfers: reader.take_if("checkpoints.transfers", |count: u32| count >= 1, "at least 1"),
    }
}
