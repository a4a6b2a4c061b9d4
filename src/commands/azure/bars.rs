//! What goes on in Azure, on a terminal: a bar for each resource that is worked on,
//! and above the bars a line for everything that is over.

use std::{
    io::{IsTerminal as _, stderr, stdout},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::words;
use crate::core::azure::{
    plan::kind_name,
    progress::{Progress, Resource, State},
};

/// Cells of a bar.
const CELLS: u64 = 20;

/// How often the bars move while nothing is heard.
const TICK: Duration = Duration::from_millis(250);

/// The bars of everything that is worked on.
pub struct Bars {
    all: MultiProgress,
    resources: Vec<(String, ProgressBar)>,
}

impl Bars {
    /// On the terminal, if what is printed and what is complained of both go there:
    /// otherwise bars would tear lines that somebody keeps.
    pub fn on_terminal() -> Option<Self> {
        (stdout().is_terminal() && stderr().is_terminal())
            .then(|| Self::on(ProgressDrawTarget::stderr()))
    }

    fn on(target: ProgressDrawTarget) -> Self {
        Self {
            all: MultiProgress::with_draw_target(target),
            resources: Vec::new(),
        }
    }

    /// Shows what is new. A resource of its type takes about `seconds`. Returns
    /// whether a line is to say it, too.
    pub fn tell(&mut self, progress: &Progress, seconds: impl FnOnce(&str) -> u64) -> bool {
        let Progress::Resource(resource) = progress else {
            return true;
        };
        let name = format!("{} {}", kind_name(&resource.kind), resource.name);
        let at = self.resources.iter().position(|(known, _)| *known == name);
        if resource.state != State::Running {
            if let Some(at) = at {
                let (_, bar) = self.resources.remove(at);
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            return true;
        }
        let bar = match at {
            Some(at) => &self.resources[at].1,
            None => self.begin(name, resource, seconds(&resource.kind)),
        };
        bar.set_message(resource.word.clone());
        false
    }

    fn begin(&mut self, name: String, resource: &Resource, seconds: u64) -> &ProgressBar {
        let so_far = Duration::from_secs_f64(resource.seconds.unwrap_or_default().max(0.0));
        let bar = ProgressBar::new(seconds)
            .with_prefix(name.clone())
            .with_style(style(so_far, seconds));
        let bar = self.all.add(bar);
        bar.enable_steady_tick(TICK);
        self.resources.push((name, bar));
        &self.resources[self.resources.len() - 1].1
    }

    /// Prints above the bars.
    pub fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.all.suspend(print)
    }
}

impl Drop for Bars {
    /// What is not over when nobody tells any more has no bar.
    fn drop(&mut self) {
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
    }
}

/// A bar that began `so_far` ago, fills in about `seconds`, and stays full as long as
/// it takes longer than that.
fn style(so_far: Duration, seconds: u64) -> ProgressStyle {
    let elapsed = move |state: &ProgressState| (so_far + state.elapsed()).as_secs();
    let part = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let full = elapsed(state) * CELLS / seconds.max(1);
        let cells = (0..CELLS).map(|cell| if cell < full { '━' } else { '─' });
        let _ = out.write_str(&cells.collect::<String>());
    };
    let time = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(
            out,
            "{} of about {}",
            words::length(elapsed(state)),
            words::length(seconds)
        );
    };
    ProgressStyle::with_template("  {part} {prefix}: {wide_msg} {time}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("part", part)
        .with_key("time", time)
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    fn heard(state: State, word: &str) -> Progress {
        Progress::Resource(Resource {
            kind: "Microsoft.ContainerService/managedClusters".to_owned(),
            name: "xyz-cluster".to_owned(),
            state,
            word: word.to_owned(),
            seconds: Some(150.0),
            error: None,
        })
    }

    #[test]
    fn a_resource_has_a_bar_as_long_as_it_is_worked_on() {
        let term = InMemoryTerm::new(24, 80);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let mut bars = Bars::on(target);
        let running = heard(State::Running, "Creating");
        assert!(!bars.tell(&running, |_| 300));
        assert!(!bars.tell(&running, |_| 300), "it has its bar already");
        bars.resources[0].1.tick();
        let line = term.contents();
        assert!(line.contains("cluster xyz-cluster: Creating"), "{line}");
        assert!(line.contains("2 min 30 s of about 5 min"), "{line}");
        assert_eq!(line.matches('━').count(), 10, "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(bars.tell(&heard(State::Done, "Succeeded"), |_| 300));
        assert_eq!(term.contents(), "");
    }
}
