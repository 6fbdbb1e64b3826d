//! A progress bar for whoever watches, once work turns out to be long.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// Work shorter than this shows no bar.
const LONG: Duration = Duration::from_millis(700);

/// Counts work; draws on stderr only if that is a terminal.
pub(super) struct Progress {
    total: Option<u64>,
    unit: Unit,
    started: Instant,
    done: u64,
    bar: Option<ProgressBar>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Bytes,
    Events,
}

impl Progress {
    /// Without a total it shows how much is done, not how much is left.
    pub(super) fn new(total: Option<u64>, unit: Unit) -> Self {
        Self {
            total,
            unit,
            started: Instant::now(),
            done: 0,
            bar: None,
        }
    }

    pub(super) fn add(&mut self, amount: u64) {
        self.done += amount;
        if self.bar.is_none() && self.started.elapsed() > LONG && output::is_watched() {
            self.bar = Some(self.draw());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    fn draw(&self) -> ProgressBar {
        let bar = self.total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match (self.unit, self.total) {
            (Unit::Bytes, Some(_)) => "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            (Unit::Bytes, None) => "{spinner} {bytes}, {bytes_per_sec}",
            (Unit::Events, Some(_)) => "{bar:30} {human_pos} of {human_len} events, {per_sec}, {eta} left",
            (Unit::Events, None) => "{spinner} {human_pos} events, {per_sec}",
        };
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style).with_elapsed(self.started.elapsed()),
            Err(_) => bar,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
