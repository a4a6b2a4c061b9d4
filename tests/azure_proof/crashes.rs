//! Killed anywhere, run again: the end is the one of whoever was never disturbed.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, time::Duration};

use futures::{StreamExt as _, stream};

use crate::{
    bed::{Bed, GROUP},
    between::{Moment, Seen},
    picture::{self, Picture},
};

const PROVISION: &str = "provision --yes";
const MOST: &str = "clean most --yes";
const ALL: &str = "clean all --yes";

/// How many times faster than Azure: whoever comes again meets what still goes on…
const SLOW: f64 = 150.0;
/// …or what is done already.
const FAST: f64 = 2400.0;

/// How many stories are played at a time: mostly they wait.
const AT_A_TIME: usize = 4;

/// A storage account of somebody else's in our group.
const STRANGER: &str = "strangestorage";

/// What whoever is never disturbed sees.
#[derive(Debug)]
struct Good {
    provisioned: Picture,
    most: Picture,
    /// How many requests each command sends.
    provision: usize,
    clean_most: usize,
    clean_all: usize,
    /// Which request of `provision` is the first that changes something.
    first_change: usize,
}

impl Good {
    async fn see() -> Self {
        let bed = Bed::start(FAST, &[]).await;
        bed.furnish_neighbours().await;
        let provision = bed.undisturbed(PROVISION).await;
        let provisioned = picture::of(&bed.world());
        let clean_most = bed.undisturbed(MOST).await;
        let most = picture::of(&bed.world());
        let clean_all = bed.undisturbed(ALL).await;
        bed.stop().await;
        let change = |seen: &Seen| seen.method == "PUT";
        Self {
            provisioned,
            most,
            first_change: provision.iter().position(change).unwrap() + 1,
            provision: provision.len(),
            clean_most: clean_most.len(),
            clean_all: clean_all.len(),
        }
    }
}

impl Bed {
    async fn undisturbed(&self, line: &str) -> Vec<Seen> {
        self.between.forget();
        self.run(line).await.well(line);
        self.between.seen()
    }
}

/// When each of the three commands dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// At a request, counted from 1.
    Request([usize; 3], Moment),
    /// After a time, if it lasts as long.
    Time([Duration; 3]),
}

impl Death {
    async fn strike(self, bed: &Bed, line: &str, which: usize) {
        match self {
            Self::Request(at, moment) => bed.run_until(line, at[which], moment).await,
            Self::Time(after) => bed.run_for(line, after[which]).await,
        };
    }
}

/// Provisions, cleans most and cleans all. Each command dies first, and is run again.
async fn story(good: &Good, scale: f64, death: Death) {
    let about = format!("{death:?} at {scale}");
    let bed = Bed::start(scale, &[]).await;
    bed.furnish_neighbours().await;
    death.strike(&bed, PROVISION, 0).await;
    bed.run(PROVISION).await.well(&about);
    check_provisioned(&bed, good, &about);

    bed.make_account(GROUP, STRANGER).await;
    death.strike(&bed, MOST, 1).await;
    bed.run(MOST).await.well(&about);
    let mut now = picture::of(&bed.world());
    let strange = |id: &str| id.ends_with(STRANGER);
    let before = now.len();
    now.retain(|id, _| !strange(id));
    assert_eq!(now.len() + 1, before, "{about}: the stranger stays");
    picture::same(&now, &good.most, &about);

    death.strike(&bed, ALL, 2).await;
    let refused = bed.run(ALL).await;
    assert_eq!(refused.code, Some(1), "{about}: {refused:?}");
    assert!(refused.err.contains(STRANGER), "{about}: {}", refused.err);
    assert_eq!(picture::of(&bed.world()).len(), before, "{about}");

    // Its owner takes it away, and then the group may go.
    bed.remove_account(GROUP, STRANGER).await;
    death.strike(&bed, ALL, 2).await;
    bed.run(ALL).await.well(&about);
    check_clean(&bed, &about);
    bed.stop().await;
}

fn check_provisioned(bed: &Bed, good: &Good, about: &str) {
    let world = bed.world();
    picture::same(&picture::of(&world), &good.provisioned, about);
    check_once(bed, about);
    let kubeconfig = bed.kubeconfig();
    let mode = std::fs::metadata(&kubeconfig).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{about}");
    let beside = std::fs::read_dir(kubeconfig.parent().unwrap()).unwrap();
    let beside: Vec<_> = beside.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(beside, ["kubeconfig"], "{about}");
}

/// Nothing was created twice: whatever was put more than once was put with equal
/// words, and only the first time made it. Nothing was deleted on the way.
fn check_once(bed: &Bed, about: &str) {
    let mut puts: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for seen in bed.between.seen() {
        let harmless = seen.method != "DELETE" || [204, 404].contains(&seen.status);
        assert!(harmless, "{about}: {} was deleted", seen.path);
        if seen.method == "PUT" && seen.status < 300 {
            puts.entry(seen.path.clone()).or_default().push(seen);
        }
    }
    for (path, puts) in &puts {
        assert!(
            puts.iter().all(|put| put.body == puts[0].body),
            "{about}: {path} was put with other words"
        );
        let created = puts.iter().filter(|put| put.status == 201).count();
        assert_eq!(created, 1, "{about}: {path}");
    }
    let deployments: usize = puts
        .iter()
        .filter(|(path, _)| path.contains("/deployments/"))
        .map(|(_, puts)| puts.len())
        .sum();
    for (id, writes) in picture::writes(&bed.world()) {
        let itself = |(path, puts): (&String, &Vec<Seen>)| {
            path.eq_ignore_ascii_case(&id).then_some(puts.len())
        };
        let most = puts.iter().find_map(itself).unwrap_or(deployments);
        assert!(writes <= most, "{about}: {id} was written {writes} times");
    }
}

/// Only the neighbours are left, and nothing of the cluster on this machine.
fn check_clean(bed: &Bed, about: &str) {
    let left = picture::names(&bed.world());
    let neighbours = [
        "resourceGroups/neighbours",
        "storageAccounts/neighbourstorage",
    ];
    assert_eq!(left, neighbours, "{about}");
    let kept = bed.kubeconfig();
    let kept = kept.parent().unwrap();
    let kept: Vec<_> = std::fs::read_dir(kept)
        .map(|all| all.map(|it| it.unwrap().file_name()).collect())
        .unwrap_or_default();
    assert!(kept.is_empty(), "{about}: {kept:?} are left");
}

async fn play(good: &Good, stories: Vec<(f64, Death)>) {
    stream::iter(stories)
        .for_each_concurrent(AT_A_TIME, |(scale, death)| story(good, scale, death))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_request_and_run_again_it_ends_as_if_never_disturbed() {
    let good = Good::see().await;
    let changing = good.provision - good.first_change + 1;
    let steps = changing.max(good.clean_most).max(good.clean_all);
    let at = |step: usize| {
        [
            good.first_change + step % changing,
            1 + step % good.clean_most,
            1 + step % good.clean_all,
        ]
    };
    let stories = (0..steps).flat_map(|step| {
        [Moment::Arrived, Moment::Answered].map(|moment| {
            let slow = (step % 2 == 0) == (moment == Moment::Answered);
            let scale = if slow { SLOW } else { FAST };
            (scale, Death::Request(at(step), moment))
        })
    });
    play(&good, stories.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_only_looks_it_has_changed_nothing() {
    let good = Good::see().await;
    let bed = Bed::start(FAST, &[]).await;
    bed.furnish_neighbours().await;
    let before = picture::of(&bed.world());
    for at in 1..good.first_change {
        let ran = bed.run_until(PROVISION, at, Moment::Answered).await;
        assert_eq!(ran.code, None, "request {at}: {ran:?}");
        picture::same(
            &picture::of(&bed.world()),
            &before,
            &format!("request {at}"),
        );
    }
    bed.run(PROVISION).await.well("in the end");
    check_provisioned(&bed, &good, "after deaths while looking");
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_and_run_again_it_ends_as_if_never_disturbed() {
    let good = Good::see().await;
    let mut random = fastrand::Rng::with_seed(4);
    let stories = (0..10).map(|story| {
        let scale = if story % 2 == 0 { SLOW } else { FAST };
        let longest = if story % 2 == 0 { 4000 } else { 1200 };
        let mut moment = || Duration::from_millis(random.u64(20..longest));
        (scale, Death::Time([moment(), moment(), moment()]))
    });
    play(&good, stories.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_everything_once_and_both_end_well() {
    let good = Good::see().await;
    let good = &good;
    // The second comes while the first looks, while it makes, and when it is done.
    let rounds = [0, 150, 300, 450, 600, 800, 1200, 2400];
    stream::iter(rounds.into_iter().enumerate())
        .for_each_concurrent(AT_A_TIME, |(round, millis)| async move {
            let bed = Bed::start(if round % 2 == 0 { SLOW } else { FAST }, &[]).await;
            bed.furnish_neighbours().await;
            let later = async |line| {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                bed.run(line).await
            };
            let about = format!("{millis} ms later");
            let (one, other) = futures::join!(bed.run(PROVISION), later(PROVISION));
            one.well(&about);
            other.well(&about);
            check_provisioned(&bed, good, &about);
            let (one, other) = futures::join!(bed.run(ALL), later(ALL));
            one.well(&about);
            other.well(&about);
            check_clean(&bed, &about);
            bed.stop().await;
        })
        .await;
}

/// A workload that leaves others some air.
const DEPLOY: &str = "deploy perftest --rate 1MiB --bytes-per-round 64KiB";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_takes_away_what_is_left_of_a_workload_when_a_clean_died() {
    let mut random = fastrand::Rng::with_seed(7);
    let deaths: Vec<u64> = (0..6).map(|_| random.u64(50..2500)).collect();
    stream::iter(deaths)
        .for_each_concurrent(2, |death| async move {
            let about = format!("killed after {death} ms");
            let bed = Bed::start(FAST, &[]).await;
            bed.run(PROVISION).await.well(&about);
            let on = format!("--kubeconfig {}", bed.kubeconfig().display());
            bed.run(&format!("{DEPLOY} {on}")).await.well(&about);
            bed.run_for(MOST, Duration::from_millis(death)).await;
            bed.run(MOST).await.well(&about);
            let look = format!("undeploy --dry-run --json --storage {on}");
            let left = bed.run(&look).await.well(&about).out;
            let left: serde_json::Value = serde_json::from_str(&left).unwrap();
            assert_eq!(
                left["plan"]["objects"],
                serde_json::json!([]),
                "{about}: {left}"
            );
            let names = picture::names(&bed.world());
            assert!(
                names
                    .iter()
                    .any(|name| name.starts_with("managedClusters/"))
            );
            assert!(!names.iter().any(|name| name.starts_with("registries/")));
            bed.run(ALL).await.well(&about);
            bed.stop().await;
        })
        .await;
}
