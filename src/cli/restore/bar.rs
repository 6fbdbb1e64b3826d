//! The progress bar of a restore, beside which results are printed.

use indicatif::{ProgressBar, ProgressStyle};

use crate::{cli::output, proto::tidings::v1::RestoreProgress};

/// Draws on stderr only if that is a terminal.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = output::is_watched().then(|| {
            let bar = ProgressBar::new(1_000);
            match ProgressStyle::with_template("{bar:30} {msg}, {elapsed}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self(bar)
    }

    pub(super) fn show(&self, progress: &RestoreProgress) {
        if let Some(bar) = &self.0 {
            bar.set_message(text(progress));
            bar.set_position((progress.percent.clamp(0.0, 100.0) * 10.0) as u64);
        }
    }

    /// Does something that prints, without the bar in between.
    pub(super) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

fn text(progress: &RestoreProgress) -> String {
    format!(
        "{:.1} %: {} of {} events read, {} keys",
        progress.percent, progress.read_events, progress.total_events, progress.sent_states
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        let progress = RestoreProgress {
            read_events: 50,
            total_events: 200,
            percent: 25.04,
            sent_states: 7,
            ..Default::default()
        };
        assert_eq!(text(&progress), "25.0 %: 50 of 200 events read, 7 keys");
    }
}
