//! Timers that may be late, for clients that mostly sleep: the kernel wakes their threads together.
//!
//! A client of a group has four threads, each with timers of half a second or a second, and a server has hundreds of groups.

/// How late: little beside a heartbeat's interval, and to a session it makes no difference.
#[cfg(target_os = "linux")]
const LATENESS: std::time::Duration = std::time::Duration::from_millis(100);

/// Does what starts threads; theirs and their children's timers may be late, this thread's not.
#[cfg(target_os = "linux")]
pub(super) fn with_late_timers<T>(start: impl FnOnce() -> T) -> T {
    use nix::sys::prctl::{get_timerslack, set_timerslack};

    let before = get_timerslack().ok().and_then(|nanos| u64::try_from(nanos).ok());
    let Some(before) = before else { return start() };
    // Refused, timers are as exact as they were.
    let _ = set_timerslack(u64::try_from(LATENESS.as_nanos()).unwrap_or(before));
    let started = start();
    let _ = set_timerslack(before);
    started
}

/// Other kernels have no such thing for threads.
#[cfg(not(target_os = "linux"))]
pub(super) fn with_late_timers<T>(start: impl FnOnce() -> T) -> T {
    start()
}
