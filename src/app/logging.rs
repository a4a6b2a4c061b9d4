//! The cockpit's own log: what it did and what surprised it.
//!
//! With a screen it goes into a pane; without one, warnings go to standard
//! error. `AKS_TUI_LOG` sets what is kept, e.g. `debug` or `aks_tui=trace`.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Events kept until the next frame takes them.
const HOT_BUFFER: usize = 8_192;

/// Sends the log into the pane.
pub fn to_pane() {
    tui_logger::set_hot_buffer_depth(HOT_BUFFER);
    tui_logger::set_default_level(tui_logger::LevelFilter::Trace);
    // kube says each failed request itself; ours are told as facts.
    let started = tracing_subscriber::registry()
        .with(filter("info,kube_client=off"))
        .with(tui_logger::TuiTracingSubscriberLayer)
        .try_init();
    debug_assert!(started.is_ok(), "the log is started once");
}

/// Sends warnings to standard error.
pub fn to_stderr() {
    let started = tracing_subscriber::registry()
        .with(filter("warn,kube_client=off"))
        .with(fmt::layer().with_writer(std::io::stderr).without_time())
        .try_init();
    debug_assert!(started.is_ok(), "the log is started once");
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("AKS_TUI_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}
