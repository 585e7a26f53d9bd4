//! A phase of a command, and its progress on a terminal.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::escape::escape;
use crate::meter::Meter;

/// Progress is drawn only for phases that take longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// A phase under way: how far it has come, when that was last shown, and its bar.
pub(crate) struct Phase {
    pub(crate) meter: Meter,
    pub(crate) started: Instant,
    pub(crate) shown: Instant,
    pub(crate) bar: Option<ProgressBar>,
}

impl Phase {
    /// Draws it on a terminal, once it has taken long enough.
    pub(crate) fn draw(&mut self, elapsed: Duration, state: &str, bars: &MultiProgress) {
        if self.bar.is_none() && elapsed < PATIENCE {
            return;
        }
        let total = self.meter.total;
        let bar = self.bar.get_or_insert_with(|| bars.add(new_bar(total)));
        bar.set_length(total.unwrap_or(0));
        bar.set_position(self.meter.done);
        let text = with_state(&self.meter.describe(elapsed), state);
        bar.set_message(escape(&text).into_owned());
        bar.tick();
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A progress text with why it is slow.
pub(crate) fn with_state(text: &str, state: &str) -> String {
    if state.is_empty() {
        text.to_owned()
    } else {
        format!("{text} ({state})")
    }
}

fn new_bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::hidden();
    let template = if total.is_some() {
        "{bar:24} {wide_msg}"
    } else {
        "{spinner} {wide_msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Prints with the progress out of the way.
pub(crate) fn above(phases: &[Phase], bars: &MultiProgress, print: impl FnOnce()) {
    if phases.iter().any(|phase| phase.bar.is_some()) {
        bars.suspend(print)
    } else {
        print()
    }
}
