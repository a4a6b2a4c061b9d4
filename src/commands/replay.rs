//! `aks-tui replay`: a finished run, seen again.

use std::{path::PathBuf, process::ExitCode};

use color_eyre::eyre::{Result, eyre};

use crate::{
    adapters::journal::{self, Pacing, StateDir, store},
    app::{cockpit::Cockpit, logging, looks::Looks, wires},
    cli::LooksArgs,
    core::{
        model::Model,
        update::ui::{REPLAYED, Ui},
    },
};

/// Show a finished run again
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run to show (see `aks-tui runs`), or the path of its journal; the newest if absent
    #[arg(value_name = "RUN")]
    run: Option<String>,

    /// How fast: 1 as it happened, 2 twice as fast, 0 all at once
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,

    #[command(flatten)]
    looks: LooksArgs,
}

/// Shows the run; nothing in any cluster is touched.
pub fn run(args: &Args) -> Result<ExitCode> {
    super::needs_terminal()?;
    let looks = Looks::load(&args.looks)?;
    let path = find(args.run.as_deref())?;
    let recording = journal::read(&path)?;
    for note in recording.notes() {
        super::complain(&format!("{}: {note}", path.display()));
    }
    logging::to_pane();
    super::on_runtime(async {
        let mut ui = Ui::new(0);
        ui.locked = Some(REPLAYED);
        let wires = wires::replay(recording.events, Pacing::at_speed(args.speed));
        let (left, _) = Cockpit::open(looks, Model::default(), ui, wires)?
            .run()
            .await;
        Ok(left.exit_code())
    })
}

/// The journal that the argument means.
fn find(run: Option<&str>) -> Result<PathBuf> {
    let state = StateDir::find()?;
    let runs = store::list(&state.runs())?;
    let Some(wanted) = run else {
        let newest = runs
            .into_iter()
            .filter(|run| !run.living)
            .max_by(|a, b| a.run.cmp(&b.run));
        return Ok(newest
            .ok_or_else(|| eyre!("no run is recorded yet: `aks-tui demo` makes one"))?
            .path);
    };
    if std::path::Path::new(wanted).is_file() {
        return Ok(wanted.into());
    }
    if let Some(run) = runs.iter().find(|run| run.run == wanted) {
        return Ok(run.path.clone());
    }
    let nearest = runs
        .iter()
        .map(|run| (strsim::jaro_winkler(&run.run, wanted), run))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(match nearest {
        Some((_, run)) => eyre!(
            "no run is called {wanted}; the nearest is {} (`aks-tui runs` lists all)",
            run.run
        ),
        None => eyre!("no run is called {wanted}, and none is recorded yet"),
    })
}
