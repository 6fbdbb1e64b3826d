//! How many files the process may have open: a connection is one, and the log must never be left without.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the log's files or its connections to brokers, for object stores, and for the ops listener.
const OURS: u64 = 1024;

/// Of so many connections, those for which there is room, once as many files as may be are allowed.
pub(super) fn room_for(connections: u32) -> u32 {
    let allowed = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the number of open files to what is allowed");
    }
    let (files, room) = room(connections, getrlimit(Resource::Nofile).current);
    if room < connections {
        tracing::warn!(
            files,
            room,
            "the process may not have files enough open for limits.connections: raise its limit (ulimit -n)"
        );
    }
    room
}

/// `None` = any number of files. Small numbers are shared.
fn room(connections: u32, files: Option<u64>) -> (u64, u32) {
    let files = files.unwrap_or(u64::MAX);
    let left = files.saturating_sub(OURS).max(files / 2).max(1);
    (
        files,
        u32::try_from(left).map_or(connections, |left| left.min(connections)),
    )
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn the_log_keeps_its_files_whatever_is_allowed() {
        assert_eq!(room(10_000, None).1, 10_000);
        assert_eq!(room(10_000, Some(1 << 40)).1, 10_000);
        assert_eq!(room(10_000, Some(11_024)).1, 10_000);
        assert_eq!(room(10_000, Some(4_096)).1, 3_072);
        assert_eq!(room(10_000, Some(1_024)).1, 512);
        assert_eq!(room(10_000, Some(0)).1, 1);
    }
}
