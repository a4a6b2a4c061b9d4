//! `aks-tui`: the cockpit on any cluster.

use std::{process::ExitCode, sync::Arc};

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
    commands::azure::{
        self, ConfigArgs,
        desk::{self, Office},
        hands,
    },
    core::{
        event::{Event, Fact, Trouble},
        update::ui::Ui,
    },
};

/// Opens the cockpit on the cluster that the arguments name.
pub fn run(args: ClusterArgs, looks: &LooksArgs, config: &ConfigArgs) -> Result<ExitCode> {
    super::needs_terminal()?;
    let looks = Looks::load(looks)?;
    for selector in [&args.client, &args.server] {
        cluster::check_selector(selector)?;
    }
    logging::to_pane();
    super::on_runtime(async {
        let office = Office::usual(config.clone())?;
        let mut ui = Ui::new(fastrand::u64(..));
        ui.locked = args.read_only.then_some("--read-only");
        let Laid {
            wires,
            run,
            mut socket,
            mut model,
            ..
        } = wires::begin(&store::run_id(store::wall_ms()));
        let mut options = cluster::Options::from(args);
        let unfinished = unfinished_demo();
        let unusable = test_bed(config, &mut options, &mut ui);
        for trouble in [unfinished, unusable].into_iter().flatten() {
            model.apply(&Event {
                at: model.now,
                fact: Fact::Trouble(trouble),
            });
        }
        let (wishes, orders) = (socket.split_azure(), socket.split_machines());
        let (sink, closing) = (socket.sink(), socket.closing());
        desk::start(Arc::clone(&office), sink.clone(), wishes, closing.clone());
        hands::start(office, sink, orders, closing, options.read_only);
        let adapter = socket.start(options);
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

/// Looks at the cluster of the settings, if there are any, nothing else was asked
/// for, and its credentials are there. Says why the settings are of no use, if they
/// are not.
fn test_bed(config: &ConfigArgs, options: &mut cluster::Options, ui: &mut Ui) -> Option<Trouble> {
    if options.kubeconfig.is_some() || options.context.is_some() {
        return None;
    }
    let settings = match config.load_any() {
        Ok(settings) => settings?,
        Err(error) => {
            let next = "correct it; until then the kubeconfig says which cluster is shown";
            return Some(Trouble::new(format!("{error:#}"), next));
        }
    };
    let kubeconfig = azure::kubeconfig(&StateDir::find().ok()?, &settings);
    if kubeconfig.is_file() {
        ui.order = settings.order();
        options.kubeconfig = Some(kubeconfig);
        let namespace = settings.workload.namespace;
        options.namespace.get_or_insert(namespace);
    }
    None
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
