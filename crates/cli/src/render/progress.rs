//! Shows what an operation says while it runs: a bar with rate and remaining time on a terminal, JSON lines with
//! `--json`, and lines for each step with `-v` elsewhere.
//!
//! Counts findings, because they change the exit code. Deliberately keeps no text: reports carry what must last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seawall_engine::text::shown;
use seawall_engine::words::World;
use seawall_engine::{Finding, Monitor};

use super::{Output, Talk, human};

/// JSON lines at most so often, and at every new step.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// The monitor of the command line.
pub struct Progress {
    output: Output,
    world: World,
    findings: AtomicU64,
    step: Mutex<Step>,
}

#[derive(Default)]
struct Step {
    name: String,
    total: Option<u64>,
    done: u64,
    began: Duration,
    said: Duration,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A monitor that speaks as `output` says; `world` tells the time for rates.
    #[must_use]
    pub fn new(output: Output, world: World) -> Self {
        Self { output, world, findings: AtomicU64::new(0), step: Mutex::default() }
    }

    /// How many findings there were.
    #[must_use]
    pub fn findings(&self) -> u64 {
        self.findings.load(Ordering::Relaxed)
    }

    /// Takes the bar away, so that what is printed next stands on a clean line.
    pub fn finish(&self) {
        if let Some(bar) = self.step().bar.take() {
            bar.finish_and_clear();
        }
    }

    // A panic elsewhere leaves plain numbers behind; they stay readable.
    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn json_line(&self, step: &Step, now: Duration) -> serde_json::Value {
        let seconds = now.saturating_sub(step.began).as_secs_f64();
        serde_json::json!({ "progress": {
            "step": step.name,
            "bytes": step.done,
            "total_bytes": step.total,
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "remaining_seconds": remaining(step.done, step.total, seconds),
        }})
    }

    /// Runs `say` with the bar out of the way.
    fn beside_bar(&self, say: impl FnOnce()) {
        let bar = self.step().bar.clone();
        match bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

/// Whole seconds that remain at the average rate so far, where that can be known.
fn remaining(done: u64, total: Option<u64>, seconds: f64) -> Option<u64> {
    let left = total?.checked_sub(done)?;
    if done == 0 || seconds < 1.0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate in whole seconds; the cast saturates"
    )]
    Some((left as f64 * seconds / done as f64).ceil() as u64)
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let known = "{msg:24} {wide_bar:.dim} {binary_bytes:>10} of {binary_total_bytes} {binary_bytes_per_sec:>12} {eta:>5} left";
    let unknown = "{msg:24} {spinner} {binary_bytes:>10} {binary_bytes_per_sec:>12} {elapsed:>5}";
    let template = if total.is_some() { known } else { unknown };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(shown(name));
    bar
}

impl Monitor for Progress {
    fn phase(&self, name: &str, total_bytes: Option<u64>) {
        self.finish();
        let now = self.world.clock.monotonic();
        let mut step = self.step();
        *step = Step { name: name.to_owned(), total: total_bytes, began: now, said: now, ..Step::default() };
        if self.output.talk == Talk::Quiet {
            return;
        }
        if self.output.json {
            self.output.progress_line(&self.json_line(&step, now));
        } else if self.output.watched {
            step.bar = Some(bar(name, total_bytes));
        } else if self.output.talk == Talk::Verbose {
            let size = total_bytes.map(|bytes| format!(", {}", human::size(bytes))).unwrap_or_default();
            self.output.notice(&format!("{name}{size}"));
        }
    }

    fn advance(&self, bytes: u64) {
        let mut step = self.step();
        step.done = step.done.saturating_add(bytes);
        if let Some(bar) = &step.bar {
            bar.inc(bytes);
        }
        if self.output.json && self.output.talk != Talk::Quiet {
            let now = self.world.clock.monotonic();
            if now.saturating_sub(step.said) >= JSON_EVERY {
                step.said = now;
                self.output.progress_line(&self.json_line(&step, now));
            }
        }
    }

    fn notice(&self, text: &str) {
        self.beside_bar(|| self.output.notice(text));
    }

    fn finding(&self, finding: &Finding) {
        self.findings.fetch_add(1, Ordering::Relaxed);
        self.beside_bar(|| self.output.finding(finding));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_follows_the_average_rate() {
        assert_eq!(remaining(0, Some(100), 5.0), None);
        assert_eq!(remaining(50, None, 5.0), None);
        assert_eq!(remaining(25, Some(100), 5.0), Some(15));
        assert_eq!(remaining(120, Some(100), 5.0), None);
    }

    #[test]
    fn findings_are_counted_even_when_quiet() {
        let output =
            Output { json: false, talk: Talk::Quiet, colour_out: false, colour_err: false, watched: false };
        let progress = Progress::new(output, World::seeded(1));
        progress.phase("copy", Some(10));
        progress.advance(4);
        progress.finding(&Finding { id: "x.y", what: "counted by a test".into(), hint: None });
        assert_eq!(progress.findings(), 1);
    }

    #[test]
    fn a_json_line_says_where_the_step_stands() {
        let output =
            Output { json: true, talk: Talk::Quiet, colour_out: false, colour_err: false, watched: false };
        let progress = Progress::new(output, World::seeded(1));
        let step = Step { name: "copy".into(), total: Some(100), done: 50, ..Step::default() };
        let line = progress.json_line(&step, Duration::from_secs(10));
        assert_eq!(line.pointer("/progress/remaining_seconds"), Some(&serde_json::json!(10)));
        assert_eq!(line.pointer("/progress/step"), Some(&serde_json::json!("copy")));
    }
}
