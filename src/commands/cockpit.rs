//! `aks-tui`: the cockpit on any cluster.

use std::process::ExitCode;

use color_eyre::eyre::Result;

use crate::{
    adapters::{
        cluster,
        journal::{StateDir, store},
    },
    app::{
        cockpit::Cockpit,
        logging,
        looks::Looks,
        wires::{self, Laid},
    },
    cli::{ClusterArgs, LooksArgs},
    commands::azure::{ConfigArgs, desk, hands},
    core::{
        event::{Event, Fact, Trouble},
        update::ui::Ui,
    },
};

/// Opens the cockpit on the cluster that the arguments name.
pub fn run(args: ClusterArgs, looks: &LooksArgs, config: ConfigArgs) -> Result<ExitCode> {
    super::needs_terminal()?;
    let looks = Looks::load(looks)?;
    for selector in [&args.client, &args.server] {
        cluster::check_selector(selector)?;
    }
    logging::to_pane();
    super::on_runtime(async {
        let unfinished = unfinished_demo();
        let mut ui = Ui::new(fastrand::u64(..));
        ui.locked = args.read_only.then_some("--read-only");
        let Laid {
            wires,
            run,
            mut socket,
            mut model,
            ..
        } = wires::begin(&store::run_id(store::wall_ms()));
        if let Some(trouble) = unfinished {
            model.apply(&Event {
                at: model.now,
                fact: Fact::Trouble(trouble),
            });
        }
        let wishes = socket.split_azure();
        desk::start(config.clone(), socket.sink(), wishes, socket.closing());
        hands::start(config, &mut socket, args.read_only);
        let adapter = socket.start(args.into());
        let opened = Cockpit::open(looks, model, ui, wires);
        let left = match opened {
            Ok(cockpit) => Ok(cockpit.run().await.0),
            Err(error) => Err(error),
        };
        // Nothing is left to go on with, even if the terminal was lost.
        run.close(true).await;
        adapter.await?;
        Ok(left?.exit_code())
    })
}

/// A demo whose cockpit died is only mentioned here: this is another cluster.
fn unfinished_demo() -> Option<Trouble> {
    let state = StateDir::find().ok()?;
    let run = super::demo::unfinished(&state)?;
    Some(Trouble::new(
        format!("the demo run {} was not finished", run.run),
        "`aks-tui demo` goes on with it",
    ))
}
