//! What a person can ask for: the whole public surface of the cockpit.
//!
//! Keymaps, the palette, the mouse, the footer's hints, the help screen and
//! headless tests all speak this one language, so none of them can drift.

use super::{trial::Fault, workload::Role};

/// A pane of the cockpit view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pane {
    /// The pods of the namespace.
    Pods,
    /// Throughput over time.
    Throughput,
    /// The workload's log.
    Log,
    /// The trials.
    Ledger,
}

impl Pane {
    /// All panes, in the order in which the focus moves.
    pub const ALL: [Self; 4] = [Self::Pods, Self::Throughput, Self::Log, Self::Ledger];

    /// What the screen calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Pods => "Pods",
            Self::Throughput => "Throughput",
            Self::Log => "Log",
            Self::Ledger => "Ledger",
        }
    }
}

/// Whom a fault is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// That side.
    Role(Role),
    /// One of the two, drawn when the fault is injected.
    Random,
}

impl Target {
    /// `client`, `server` or `random`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Role(role) => role.name(),
            Self::Random => "random",
        }
    }
}

/// Where in the cockpit a key has a meaning. The inner scope wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everywhere, unless a dialog is open.
    Global,
    /// In the cockpit view.
    Cockpit,
    /// In the view of Azure.
    AzureView,
    /// In the pane that has the focus.
    Pane(Pane),
    /// In every dialog.
    Dialog,
    /// In the fault menu.
    Fault,
    /// In the dialog about Azure.
    Azure,
    /// In the dialog about the workload's deployment.
    Deploy,
    /// While text is typed.
    Text,
}

impl Scope {
    /// All scopes, outermost first.
    pub const ALL: [Self; 12] = [
        Self::Global,
        Self::Cockpit,
        Self::AzureView,
        Self::Pane(Pane::Pods),
        Self::Pane(Pane::Throughput),
        Self::Pane(Pane::Log),
        Self::Pane(Pane::Ledger),
        Self::Dialog,
        Self::Fault,
        Self::Azure,
        Self::Deploy,
        Self::Text,
    ];

    /// What keymap files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Cockpit => "cockpit",
            Self::AzureView => "azure_view",
            Self::Pane(Pane::Pods) => "pods",
            Self::Pane(Pane::Throughput) => "throughput",
            Self::Pane(Pane::Log) => "log",
            Self::Pane(Pane::Ledger) => "ledger",
            Self::Dialog => "dialog",
            Self::Fault => "fault",
            Self::Azure => "azure",
            Self::Deploy => "deploy",
            Self::Text => "text",
        }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leave the cockpit.
    Quit,
    /// Stop the process; the shell continues it.
    Suspend,
    /// Show the keys that work here.
    Help,
    /// Open the command palette.
    Palette,
    /// Show the cockpit's own log.
    OwnLog,
    /// Draw the screen anew.
    Redraw,
    /// Try broken streams again now.
    Reconnect,
    /// Stop the picture; the facts go on behind it.
    Freeze,
    /// Give the focused pane the whole screen, or give it back.
    Zoom,
    /// Focus the next pane.
    FocusNext,
    /// Focus the pane before.
    FocusPrevious,
    /// Focus this pane.
    Focus(Pane),
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// Half a page up.
    HalfPageUp,
    /// Half a page down.
    HalfPageDown,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first row.
    Top,
    /// To the last row.
    Bottom,
    /// Scroll long lines to the left.
    Left,
    /// Scroll long lines to the right.
    Right,
    /// Scroll this pane by rows, as the wheel does; down is positive.
    Scroll(Pane, i16),
    /// Select the row at this place of the pane, as a click does.
    Select(Pane, u16),
    /// Look into what is selected, or accept what is typed.
    Accept,
    /// One step back. Never leaves the cockpit.
    Back,
    /// Show only the rows that match.
    Filter,
    /// Search the log.
    Search,
    /// To the next match.
    NextMatch,
    /// To the match before.
    PreviousMatch,
    /// Break long lines or scroll them.
    Wrap,
    /// Show when the node got each line.
    Timestamps,
    /// Follow the newest line or stay.
    Autoscroll,
    /// Show the ten progress lines a second or hide them.
    ProgressLines,
    /// Both roles, only the client, only the server.
    LogSource,
    /// Show less time, in more detail.
    ChartIn,
    /// Show more time.
    ChartOut,
    /// Show as much time as there is.
    ChartAuto,
    /// Copy what is selected.
    Copy,
    /// Choose a fault and its victim.
    FaultMenu,
    /// Aim the fault menu.
    Aim(Target),
    /// Inject this fault into whom the menu names.
    Inject(Fault),
    /// Let a fault that lasts do so for longer.
    Longer,
    /// Let a fault that lasts do so for less time.
    Shorter,
    /// Take back what lasts.
    Heal,
    /// Let the workload finish: its present round is its last.
    FinishRun,
    /// Go to the view of Azure.
    Azure,
    /// Go back to the cockpit.
    Cockpit,
    /// Look at Azure again now.
    LookAgain,
    /// Stop the cluster, or start it.
    SwitchCluster,
    /// Select the row at this place of a list in the view of Azure, as a click does:
    /// of what is there, or of what was done.
    SelectInAzure(bool, u16),
    /// See what there is to do in Azure.
    AzurePlan,
    /// See what deleting everything would delete.
    AzureClean,
    /// See what deleting all but the cluster would delete.
    AzureCleanMost,
    /// See which role assignments and secrets would be deleted.
    AzureCleanAuth,
    /// See which logs go; Enter deletes them.
    AzureCleanLogs,
    /// Give up what is being done in Azure.
    AzureCancel,
    /// See what deploying the workload would do.
    Deploy,
    /// See it for a run that begins anew, or again for the one that is there.
    DeployFresh,
    /// See it with fields taken over that belong to others, or again without.
    DeployForce,
    /// See what taking the workload away would take.
    Undeploy,
    /// See what goes if its claims and volumes go, too.
    UndeployStorage,
    /// Type a character.
    Type(char),
    /// Remove the character before the cursor.
    Backspace,
    /// Remove the word before the cursor.
    DeleteWord,
    /// Remove the whole text.
    ClearText,
}

/// An action that can be bound to a key, with its name and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Bindable {
    /// The action.
    pub action: Action,
    /// Its name in keymaps and in the palette.
    pub name: &'static str,
    /// What it does, as the help screen says it.
    pub help: &'static str,
    /// One or two words for the footer.
    pub hint: &'static str,
    /// It can be asked for by name in the palette.
    pub palette: bool,
}

macro_rules! catalogue {
    ($($action:expr, $name:literal, $hint:literal, $help:literal $(, $typed:ident)?;)*) => {
        &[$(Bindable {
            action: $action,
            name: $name,
            help: $help,
            hint: $hint,
            palette: catalogue!(@palette $($typed)?),
        },)*]
    };
    (@palette) => { true };
    (@palette only_by_key) => { false };
}

/// Every action that has a name.
pub const CATALOGUE: &[Bindable] = catalogue! {
    Action::FaultMenu, "fault_menu", "fault", "open the fault menu: choose what to do to whom";
    Action::Inject(Fault::ProcessKill), "kill_process", "kill -9", "kill -9 the process of the side aimed at";
    Action::Inject(Fault::ProcessTerm), "term_process", "kill", "kill (SIGTERM) the process of the side aimed at";
    Action::Inject(Fault::ProcessStop), "stop_process", "stop", "stop (SIGSTOP) the process of the side aimed at, for a time";
    Action::Inject(Fault::ContainerKill), "kill_container", "kill all", "kill -9 all of the container of the side aimed at";
    Action::Inject(Fault::PodDelete), "delete_pod", "delete pod", "delete the pod of the side aimed at, grace 0";
    Action::Inject(Fault::DiskFill), "fill_disk", "fill disk", "fill the volume that the side aimed at writes its data to, for a time";
    Action::Inject(Fault::NetworkCut), "cut_network", "cut", "cut what the pod of the side aimed at sends, for a time";
    Action::Inject(Fault::NetworkDelay), "delay_network", "delay", "delay what the pod of the side aimed at sends, for a time";
    Action::Inject(Fault::NetworkLoss), "lossy_network", "loss", "lose a part of what the pod of the side aimed at sends, for a time";
    Action::Inject(Fault::NodeOff), "power_off_node", "node off", "power off the node that the side aimed at runs on";
    Action::Inject(Fault::NodeRestart), "restart_node", "restart", "have Azure restart the machine of the node that the side aimed at runs on";
    Action::Inject(Fault::NodePowerOff), "power_off_machine", "vm off", "have Azure power off the machine of the node that the side aimed at runs on";
    Action::Inject(Fault::NodeDeallocate), "deallocate_node", "deallocate", "have Azure deallocate the machine of the node that the side aimed at runs on";
    Action::Inject(Fault::NodeReimage), "reimage_node", "reimage", "have Azure reimage the machine of the node that the side aimed at runs on";
    Action::Aim(Target::Role(Role::Client)), "aim_client", "client", "aim at the client";
    Action::Aim(Target::Role(Role::Server)), "aim_server", "server", "aim at the server";
    Action::Aim(Target::Random), "aim_random", "random", "aim at one of the two, drawn at the kill";
    Action::Longer, "last_longer", "longer", "let a fault that lasts do so for longer", only_by_key;
    Action::Shorter, "last_shorter", "shorter", "let a fault that lasts do so for less time", only_by_key;
    Action::Heal, "heal", "heal", "take back at once what a fault that lasts has done";
    Action::FinishRun, "finish_run", "finish", "let the workload finish: its present round is the last";
    Action::Azure, "azure", "azure", "what there is in Azure, what it costs, and what is being done there";
    Action::Cockpit, "cockpit", "cockpit", "back to pods, throughput, log and ledger";
    Action::LookAgain, "look_again", "look again", "look at Azure again now";
    Action::SwitchCluster, "switch_cluster", "stop, start", "stop the cluster, or start it; asks first";
    Action::AzurePlan, "plan", "plan", "see what there is to make in Azure; Enter makes it";
    Action::AzureClean, "clean_all", "clean all", "see what deleting the resource group deletes; Enter deletes it";
    Action::AzureCleanMost, "clean_most", "clean most", "see what goes if only the cluster stays; Enter deletes it";
    Action::AzureCleanAuth, "clean_auth", "clean auth", "see which role assignments and secrets go; Enter deletes them";
    Action::AzureCleanLogs, "clean_logs", "clean logs", "see which run's logs go; Enter stops it and deletes them";
    Action::AzureCancel, "azure_cancel", "cancel", "give up what is being done in Azure; what is done stays";
    Action::Deploy, "deploy", "deploy", "see what deploying the workload changes; Enter deploys it";
    Action::DeployFresh, "deploy_fresh", "fresh run", "deploy a run of its own, or the one that is there again; no log is deleted";
    Action::DeployForce, "deploy_force", "take over", "deploy, and take over fields that belong to others, or leave them again";
    Action::Undeploy, "undeploy", "undeploy", "see what taking the workload away deletes; Enter deletes it; its logs stay";
    Action::UndeployStorage, "undeploy_storage", "with its logs", "see what goes if the workload's claims and volumes go, too";
    Action::Help, "help", "help", "show the keys that work here";
    Action::Palette, "palette", "palette", "do anything by name";
    Action::OwnLog, "own_log", "own log", "show the cockpit's own log";
    Action::Freeze, "freeze", "freeze", "stop the picture; facts go on behind it";
    Action::Zoom, "zoom", "zoom", "give the focused pane the whole screen, or give it back";
    Action::FocusNext, "focus_next", "next pane", "focus the next pane";
    Action::FocusPrevious, "focus_previous", "previous pane", "focus the pane before";
    Action::Focus(Pane::Pods), "focus_pods", "pods", "focus the pods";
    Action::Focus(Pane::Throughput), "focus_throughput", "throughput", "focus the throughput";
    Action::Focus(Pane::Log), "focus_log", "log", "focus the log";
    Action::Focus(Pane::Ledger), "focus_ledger", "ledger", "focus the ledger";
    Action::Up, "up", "up", "one row up", only_by_key;
    Action::Down, "down", "down", "one row down", only_by_key;
    Action::HalfPageUp, "half_page_up", "half page up", "half a page up", only_by_key;
    Action::HalfPageDown, "half_page_down", "half page down", "half a page down", only_by_key;
    Action::PageUp, "page_up", "page up", "a page up", only_by_key;
    Action::PageDown, "page_down", "page down", "a page down", only_by_key;
    Action::Top, "top", "top", "to the first row", only_by_key;
    Action::Bottom, "bottom", "bottom", "to the last row; the log follows again", only_by_key;
    Action::Left, "left", "left", "scroll long lines to the left", only_by_key;
    Action::Right, "right", "right", "scroll long lines to the right", only_by_key;
    Action::Accept, "accept", "open", "look into what is selected; accept what is typed", only_by_key;
    Action::Back, "back", "back", "one step back (never leaves)", only_by_key;
    Action::Filter, "filter", "filter", "show only rows that match (regex, ! inverts)";
    Action::Search, "search", "search", "search the log (regex)";
    Action::NextMatch, "next_match", "next match", "to the next match";
    Action::PreviousMatch, "previous_match", "previous match", "to the match before";
    Action::Wrap, "wrap", "wrap", "break long lines, or scroll them";
    Action::Timestamps, "timestamps", "time", "show when the node got each line";
    Action::Autoscroll, "autoscroll", "autoscroll", "follow the newest line, or stay";
    Action::ProgressLines, "progress_lines", "progress", "show the progress lines, or hide them";
    Action::LogSource, "log_source", "whose", "log of both, of the client, of the server";
    Action::ChartIn, "chart_in", "less time", "show less time, in more detail";
    Action::ChartOut, "chart_out", "more time", "show more time";
    Action::ChartAuto, "chart_auto", "all time", "show as much time as there is";
    Action::Copy, "copy", "copy", "copy what is selected";
    Action::Reconnect, "reconnect", "reconnect", "try broken streams again now";
    Action::Redraw, "redraw", "redraw", "draw the screen anew";
    Action::Suspend, "suspend", "suspend", "stop the cockpit; the shell's fg continues it";
    Action::Quit, "quit", "quit", "leave the cockpit";
    Action::Backspace, "backspace", "", "remove the character before the cursor", only_by_key;
    Action::DeleteWord, "delete_word", "", "remove the word before the cursor", only_by_key;
    Action::ClearText, "clear_text", "", "remove the whole text", only_by_key;
};

impl Action {
    /// The action of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        CATALOGUE
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.action)
    }

    /// What the catalogue says of this action; nothing of one without a name.
    pub fn entry(self) -> Option<&'static Bindable> {
        CATALOGUE.iter().find(|entry| entry.action == self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_means_one_action() {
        let names: HashSet<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
        let actions: HashSet<_> = CATALOGUE.iter().map(|entry| entry.action).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        assert_eq!(actions.len(), CATALOGUE.len());
    }
}
