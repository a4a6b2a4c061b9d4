//! Pictures of the screen, made from lists of facts and reviewed by eye.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/screen.rs"]
mod screen;
#[path = "support/story/mod.rs"]
mod story;

use std::{fmt::Write as _, time::Duration};

use aks_tui::{
    core::{
        action::{Action, Pane, Target},
        around::Volume,
        effect::Effect,
        event::{Fact, Permitted},
        trial::{Fault, TrialId},
        workload::Role,
    },
    ui::{
        keymap::Keymap,
        theme::{ColorDepth, Theme},
        view::View,
    },
};
use proptest::prelude::*;
use ratatui::{
    layout::Rect,
    style::{Color, Modifier},
};
use screen::{SIZES, Screen, at_sizes};
use story::Story;

/// A picture of the story at each size, after these actions.
fn pictures(name: &str, story: Story, actions: &[Action]) {
    at_sizes(&SIZES, story, actions, |size, text| {
        insta::assert_snapshot!(format!("{name}_{size}"), text);
    });
}

#[test]
fn a_trial_in_its_middle() {
    pictures("trial", Story::in_the_middle_of_a_trial(), &[]);
}

#[test]
fn before_anything_is_known() {
    pictures("connecting", Story::connecting(), &[]);
}

#[test]
fn the_first_seconds() {
    let mut story = Story::started();
    story.works(4_300);
    pictures("first_seconds", story, &[]);
}

#[test]
fn a_namespace_without_pods() {
    pictures("empty_namespace", Story::empty_namespace(), &[]);
    pictures("nowhere", Story::nowhere(), &[]);
}

#[test]
fn a_restart_that_is_held_back() {
    pictures("held_back", Story::held_back(), &[]);
}

#[test]
fn a_process_that_stands_still() {
    pictures("stopped", Story::stopped(), &[]);
    pictures(
        "stopped_ledger",
        Story::stopped(),
        &[Action::Focus(Pane::Ledger), Action::Zoom],
    );
    pictures(
        "stopped_details",
        Story::stopped(),
        &[Action::Focus(Pane::Ledger), Action::Up, Action::Accept],
    );
    pictures(
        "fault_menu_open_trial",
        Story::stopped(),
        &[Action::FaultMenu],
    );
}

#[test]
fn a_disk_that_is_full() {
    pictures("filled", Story::filled(), &[]);
    pictures(
        "filled_details",
        Story::filled(),
        &[Action::Focus(Pane::Ledger), Action::Accept],
    );
    let down = [Action::FaultMenu, Action::Down, Action::Down];
    let to_disk = [&down[..], &[Action::Down, Action::Down, Action::Down]].concat();
    let mut story = Story::killed_once();
    let volume = Volume {
        path: "/ambrosia_logs".into(),
        size: 160 << 20,
        free: 103 << 20,
    };
    story.looked_for_volume(Role::Client, Ok(volume));
    pictures("fault_menu_disk", story, &to_disk);
    let mut story = Story::killed_once();
    let why = "no volume has an end of its own: it would hit the node";
    story.looked_for_volume(Role::Client, Err(why));
    pictures("fault_menu_no_disk", story, &to_disk);
}

#[test]
fn a_node_without_power() {
    pictures("node_off", Story::node_off(), &[]);
    pictures(
        "node_off_details",
        Story::node_off(),
        &[Action::Focus(Pane::Ledger), Action::Accept],
    );
    pictures(
        "fault_menu_able",
        Story::able(),
        &[Action::FaultMenu, Action::Bottom],
    );
}

#[test]
fn a_whole_node_is_asked_for_by_its_name() {
    let ask = [Action::FaultMenu, Action::Inject(Fault::NodeOff)];
    let mut screen = Screen::new(Story::able());
    for action in ask {
        screen.act(action);
    }
    assert!(screen.text().contains("looking..."), "{}", screen.text());
    // Enter does nothing before it is known what it would hit.
    assert!(screen.act(Action::Accept).is_empty());
    screen
        .story
        .looked_at_node(&["kube-system/coredns-5d78c9869d-kfwmp"]);
    let node = "lab-node-0".chars().map(Action::Type);
    let text = screen.text();
    assert!(text.contains("type lab-node-0:"), "{text}");
    assert!(screen.act(Action::Accept).is_empty(), "nothing was typed");
    for letter in node {
        screen.act(letter);
    }
    for (width, height) in SIZES {
        screen.resize(width, height);
        insta::assert_snapshot!(format!("node_confirm_{width}x{height}"), screen.text());
    }
    let effects = screen.act(Action::Accept);
    assert!(
        matches!(
            effects[..],
            [Effect::Inject {
                fault: Fault::NodeOff,
                ..
            }]
        ),
        "{effects:?}"
    );
    // Where all of it is ours, a key is enough.
    let mut screen = Screen::new(Story::able());
    for action in ask {
        screen.act(action);
    }
    screen.story.looked_at_node(&[]);
    assert!(!screen.text().contains("type lab-node-0:"));
    assert_eq!(screen.act(Action::Accept).len(), 1);
}

#[test]
fn calls_that_were_lost() {
    pictures("lost_calls", Story::lost_calls(), &[]);
}

#[test]
fn a_cluster_that_went_away() {
    pictures("broken", Story::broken(), &[]);
}

#[test]
fn a_cluster_that_cannot_be_reached() {
    pictures("unreachable", Story::unreachable(), &[]);
}

#[test]
fn a_run_that_is_done() {
    let mut story = Story::killed_once();
    story.finishes();
    pictures("done", story, &[]);
}

#[test]
fn each_pane_alone() {
    for (name, pane) in [
        ("pods", Pane::Pods),
        ("throughput", Pane::Throughput),
        ("log", Pane::Log),
        ("ledger", Pane::Ledger),
    ] {
        let story = Story::in_the_middle_of_a_trial();
        pictures(
            &format!("zoom_{name}"),
            story,
            &[Action::Focus(pane), Action::Zoom],
        );
    }
}

#[test]
fn the_log_read_closely() {
    let mut actions = vec![
        Action::Focus(Pane::Log),
        Action::Zoom,
        Action::Timestamps,
        Action::Wrap,
        Action::Filter,
    ];
    actions.extend("recover|x".chars().map(Action::Type));
    actions.extend([Action::Accept, Action::Search]);
    actions.extend("epoch".chars().map(Action::Type));
    actions.extend([Action::Accept, Action::Up]);
    pictures("log_searched", Story::in_the_middle_of_a_trial(), &actions);
}

#[test]
fn a_filter_while_it_is_typed() {
    let mut actions = vec![Action::Focus(Pane::Log), Action::Filter];
    actions.extend("*X* 1".chars().map(Action::Type));
    pictures("filtering", Story::killed_once(), &actions);
}

#[test]
fn help() {
    pictures(
        "help",
        Story::killed_once(),
        &[Action::Focus(Pane::Log), Action::Help],
    );
}

#[test]
fn palette() {
    let mut actions = vec![Action::Palette];
    actions.extend("kill".chars().map(Action::Type));
    pictures("palette", Story::killed_once(), &actions);
}

#[test]
fn the_fault_menu_names_the_victim() {
    pictures("fault_menu", Story::killed_once(), &[Action::FaultMenu]);
    pictures(
        "fault_menu_stop",
        Story::killed_once(),
        &[
            Action::FaultMenu,
            Action::Down,
            Action::Down,
            Action::Longer,
        ],
    );
}

#[test]
fn the_fault_menu_says_why_not() {
    let mut story = Story::killed_once();
    story.forbid(Permitted::DeletePods);
    pictures(
        "fault_menu_random",
        story,
        &[Action::FaultMenu, Action::Aim(Target::Random), Action::Down],
    );
}

#[test]
fn a_pod_of_somebody_else_is_asked_for_once_more() {
    let mut story = Story::killed_once();
    let mut pod = story.running(Role::Client);
    pod.managed = false;
    story.tell(Fact::Pod(Box::new(pod)));
    pictures(
        "fault_confirm",
        story,
        &[Action::FaultMenu, Action::Inject(Fault::ProcessKill)],
    );
}

#[test]
fn details_of_a_pod() {
    pictures(
        "pod",
        Story::in_the_middle_of_a_trial(),
        &[Action::Focus(Pane::Pods), Action::Accept],
    );
}

#[test]
fn details_of_a_trial() {
    pictures(
        "trial_details",
        Story::killed_once(),
        &[Action::Focus(Pane::Ledger), Action::Accept],
    );
    pictures(
        "trial_held_back",
        Story::held_back(),
        &[Action::Focus(Pane::Ledger), Action::Accept],
    );
}

#[test]
fn badges_are_not_to_be_overlooked() {
    let mut screen = Screen::new(Story::killed_once());
    screen.ui.locked = Some("read-only");
    screen.journal = Some("disk full");
    screen.act(Action::Freeze);
    screen.story.wait(9_000);
    for (width, height) in SIZES {
        screen.resize(width, height);
        insta::assert_snapshot!(format!("badges_{width}x{height}"), screen.text());
    }
}

#[test]
fn the_smallest_screens() {
    let mut all = String::new();
    for (width, height) in [(1, 1), (2, 2), (5, 3), (20, 5), (40, 8), (40, 12), (60, 16)] {
        let mut screen = Screen::new(Story::killed_once());
        screen.resize(width, height);
        writeln!(all, "--- {width}x{height}\n{}", screen.text()).unwrap();
    }
    insta::assert_snapshot!("small", all);
}

#[test]
fn ascii_draws_nothing_else() {
    let view = || {
        let keymap = Keymap::load(None, None).unwrap();
        let theme = Theme::load(None, None, ColorDepth::True).unwrap();
        View::new(theme, &keymap, true)
    };
    for (name, actions) in [
        ("cockpit", vec![]),
        ("help", vec![Action::Help]),
        ("trial", vec![Action::Focus(Pane::Ledger), Action::Accept]),
        ("fault", vec![Action::FaultMenu]),
    ] {
        let mut screen = Screen::new(Story::in_the_middle_of_a_trial());
        screen.view = view();
        for action in actions {
            screen.act(action);
        }
        let text = screen.text();
        assert!(text.is_ascii(), "{text}");
        insta::assert_snapshot!(format!("ascii_{name}"), text);
    }
}

#[test]
fn without_colour_everything_is_told_by_other_means() {
    let keymap = Keymap::load(None, None).unwrap();
    let theme = Theme::load(None, None, ColorDepth::None).unwrap();
    for action in [Action::Focus(Pane::Pods), Action::FaultMenu, Action::Help] {
        let mut screen = Screen::new(Story::lost_calls());
        screen.view = View::new(theme.clone(), &keymap, false);
        screen.act(action);
        let mut modifiers = Modifier::empty();
        for cell in &screen.draw().content {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
            modifiers |= cell.modifier;
        }
        assert!(modifiers.contains(Modifier::BOLD | Modifier::DIM));
    }
}

/// The styles of one row, as runs of cells.
fn styles(screen: &mut Screen, row: u16) -> String {
    let buffer = screen.draw();
    let mut runs: Vec<(String, String)> = Vec::new();
    for x in 0..buffer.area.width {
        let cell = &buffer[(x, row)];
        let style = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
        match runs.last_mut() {
            Some((text, known)) if *known == style => text.push_str(cell.symbol()),
            _ => runs.push((cell.symbol().to_owned(), style)),
        }
    }
    let rows: Vec<_> = runs
        .iter()
        .map(|(text, style)| format!("{text:?} {style}"))
        .collect();
    rows.join("\n") + "\n"
}

#[test]
fn styles_of_each_theme() {
    let keymap = Keymap::load(None, None).unwrap();
    let mut all = String::new();
    for (name, depth) in [
        ("midnight", ColorDepth::True),
        ("daylight", ColorDepth::Ansi256),
        ("high-contrast", ColorDepth::Ansi16),
        ("ansi16", ColorDepth::Ansi16),
        ("midnight", ColorDepth::None),
    ] {
        let theme = Theme::load(Some(name), None, depth).unwrap();
        let mut screen = Screen::new(Story::lost_calls());
        screen.view = View::new(theme, &keymap, false);
        screen.act(Action::Focus(Pane::Ledger));
        screen.resize(80, 24);
        writeln!(all, "--- {name} at {depth:?}").unwrap();
        for row in [0, 2, 22] {
            all += &styles(&mut screen, row);
        }
    }
    insta::assert_snapshot!("styles", all);
}

#[test]
fn the_cockpits_own_log_is_a_dialog() {
    use tracing_subscriber::layer::SubscriberExt;
    tui_logger::set_default_level(log_filter());
    let subscriber = tracing_subscriber::registry().with(tui_logger::TuiTracingSubscriberLayer);
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!("the watch of the pods broke");
    });
    tui_logger::move_events();
    let mut screen = Screen::new(Story::killed_once());
    screen.act(Action::OwnLog);
    let text = screen.text();
    assert!(text.contains("Own log of the cockpit"), "{text}");
    assert!(text.contains("the watch of the pods broke"), "{text}");
}

/// All levels, by the type that tui-logger's own dependency has.
fn log_filter() -> tui_logger::LevelFilter {
    tui_logger::LevelFilter::Trace
}

/// States of the screen in which something else is drawn.
fn variants() -> Vec<Vec<Action>> {
    let typed = |first: Action| vec![first, Action::Type('*'), Action::Type('é')];
    let mut variants = vec![
        vec![],
        vec![Action::Help],
        vec![Action::FaultMenu],
        vec![Action::FaultMenu, Action::Aim(Target::Random)],
        vec![Action::OwnLog],
        vec![Action::ChartAuto],
        vec![Action::ChartIn, Action::ChartIn],
        vec![Action::Freeze],
        typed(Action::Palette),
        typed(Action::Search),
        vec![Action::Focus(Pane::Log), Action::Wrap, Action::Timestamps],
        vec![
            Action::Focus(Pane::Log),
            Action::ProgressLines,
            Action::Right,
        ],
    ];
    for pane in Pane::ALL {
        variants.push(vec![Action::Focus(pane), Action::Zoom]);
        variants.push(vec![Action::Focus(pane), Action::Accept, Action::PageDown]);
    }
    variants
}

#[test]
fn every_small_size_is_drawn() {
    let stories = [
        Story::begun(),
        Story::connecting(),
        Story::in_the_middle_of_a_trial(),
        Story::broken(),
        Story::lost_calls(),
    ];
    let variants = variants();
    let mut screens: Vec<Screen> = stories
        .into_iter()
        .map(|story| {
            let mut screen = Screen::new(story);
            screen.resize(1, 1);
            screen
        })
        .collect();
    for width in 1..=60u16 {
        for height in 1..=30u16 {
            // Each size meets another story in another state.
            let lot = usize::from(width) * 31 + usize::from(height) * 7;
            let screen = &mut screens[lot % 5];
            screen.start_anew();
            screen.resize(width, height);
            for action in &variants[lot % variants.len()] {
                screen.act(*action);
            }
            screen.draw();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_run_is_drawn_at_any_size(
        width in 1u16..300,
        height in 1u16..90,
        variant in 0usize..20,
        window in 0usize..6,
        acts in prop::collection::vec((0u8..9, 1u64..4_000), 0..14),
        skew in -5_000i64..90_000,
    ) {
        let mut screen = Screen::new(Story::started());
        for (act, millis) in acts {
            screen.story.something(act, millis);
        }
        // The clock may be behind the newest fact or far ahead of it.
        let now = screen.story.now.0.saturating_add_signed(skew * 1_000);
        screen.story.now.0 = now;
        screen.resize(width, height);
        for _ in 0..window {
            screen.act(Action::ChartOut);
        }
        let variants = variants();
        for action in &variants[variant % variants.len()] {
            screen.act(*action);
        }
        let layout = screen.layout();
        let all = Rect::new(0, 0, width, height);
        for pane in &layout.panes {
            prop_assert_eq!(pane.area.intersection(all), pane.area);
            prop_assert_eq!(pane.rows.intersection(pane.area).area(), pane.rows.area());
        }
    }
}

#[test]
fn a_kill_is_three_keys_and_a_glance() {
    let mut screen = Screen::new(Story::killed_once());
    screen.press("x");
    let menu = screen.text();
    assert!(
        menu.contains("default/generated-perftestclient-7d9f8b6c5-x2x4z"),
        "{menu}"
    );
    let effects = screen.press("p");
    assert_eq!(effects.len(), 1);
    screen.story.process_trial(Role::Client, 287);
    screen.story.works(500);
    let text = screen.text();
    assert!(text.contains("#2"), "{text}");
    assert!(text.contains("287 ms"), "{text}");
    assert!(text.contains("2 survived"), "{text}");
    let trial = screen.story.model.ledger.get(TrialId(2)).unwrap();
    assert_eq!(trial.recovery_time(), Some(Duration::from_millis(287)));
}

#[test]
fn a_dialog_scrolls_to_its_end_and_no_further() {
    let mut screen = Screen::new(Story::killed_once());
    screen.resize(80, 24);
    screen.act(Action::Help);
    screen.text();
    screen.act(Action::Bottom);
    assert!(screen.text().contains(" end "));
    screen.act(Action::PageDown);
    // One step back is seen at once: nothing was scrolled beyond the end.
    screen.act(Action::Up);
    assert!(screen.text().contains(" 1 more below "));
}
