//! What a deployment would do: what is asked for, completed by what is there,
//! and compared with it by the server itself.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, api::ListParams};
use serde_json::Value;

use super::{
    diff,
    objects::{Refusal, apply, called, exists, get, ours, text},
};
use crate::{
    adapters::cluster::{
        access::Session,
        failure::{Failure, Kind},
    },
    core::{
        deploy::{Change, Plan, Planned, Request},
        event::Trouble,
        workload::{
            Role, Workload,
            manifests::{ORDER, RUN, Spec},
            order::{CLAIM_SIZE, Order, Run, Storage},
        },
    },
};

/// The storage class of AKS whose volumes all nodes can mount.
const SHARED_CLASS: &str = "azurefile-csi";

/// The driver whose volumes all nodes can mount.
const FILE_DRIVER: &str = "file.csi.azure.com";

/// Annotation of the class that claims get which name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// What is there already.
#[derive(Default)]
pub(super) struct Present {
    /// The order that it came of, where `deploy` made it.
    pub order: Option<Order>,
    /// The run whose logs it uses.
    pub run: Option<String>,
    /// Deployments of these names, whoever made them.
    deployments: Vec<Value>,
}

impl Present {
    /// Takes in what an object says of the deployment that made it.
    fn learn(&mut self, object: &Value) {
        let annotations = &object["metadata"]["annotations"];
        let order = annotations[ORDER].as_str();
        let order = order.and_then(|order| serde_json::from_str(order).ok());
        self.order = self.order.take().or(order);
        let run = annotations[RUN].as_str().map(str::to_owned);
        self.run = self.run.take().or(run);
    }
}

/// Works out what `request` would do.
///
/// # Errors
/// Why it cannot be done, and what to do about that.
pub(super) async fn plan(session: &Session, request: &Request) -> Result<Plan, Trouble> {
    let workload = request.workload;
    let present = look(session, workload).await?;
    let earlier = present.order.clone().unwrap_or_default();
    let mut order = request.order.clone().over(earlier);
    order
        .check(workload)
        .map_err(|why| Trouble::new(why, "ask again"))?;
    request
        .run
        .check()
        .map_err(|why| Trouble::new(why, "ask again"))?;
    let mut notes = Vec::new();
    let storage = storage(session, order.storage.take(), &mut notes).await?;
    order.storage = Some(storage.clone());
    let (run, resumes) = run(&request.run, &present)?;
    check_secret(session, &order, &storage, &mut notes).await;
    notes.extend(remarks(&present, workload, &order, &storage, &run, resumes));
    let spec = Spec {
        workload,
        namespace: session.namespace.clone(),
        order: order.clone(),
        storage,
        run: run.clone(),
    };
    let mut plan = Plan {
        workload,
        context: session.context.clone(),
        namespace: session.namespace.clone(),
        order,
        run,
        resumes,
        notes,
        ..Plan::default()
    };
    for object in spec.objects() {
        plan_object(session, object, request.force, &mut plan).await?;
    }
    Ok(plan)
}

/// Asks the server what would become of one object.
async fn plan_object(
    session: &Session,
    object: Value,
    force: bool,
    plan: &mut Plan,
) -> Result<(), Trouble> {
    let (kind, name) = (text(&object, "/kind"), text(&object, "/metadata/name"));
    let live = get(session, kind, name).await.map_err(trouble)?;
    if let Some(live) = &live {
        check_selector(live, &object)?;
    }
    let would_be = match apply(session, &object, force, true).await {
        Ok(would_be) => would_be,
        Err(Refusal::Conflicts(conflicts)) => {
            plan.conflicts.extend(conflicts);
            match apply(session, &object, true, true).await {
                Ok(would_be) => would_be,
                Err(refusal) => return Err(refused(refusal)),
            }
        }
        Err(refusal) => return Err(refused(refusal)),
    };
    let fields = live.as_ref().map(|live| diff::fields(live, &would_be));
    let change = match &fields {
        None => Change::Create,
        Some(fields) if fields.is_empty() => Change::Same,
        Some(_) => Change::Change,
    };
    plan.objects.push(Planned {
        kind: kind.to_owned(),
        name: name.to_owned(),
        change,
        fields: fields.unwrap_or_default(),
        object,
    });
    Ok(())
}

/// A deployment's selector is for ever: one that selects other pods was made in
/// another way, and cannot become ours.
fn check_selector(live: &Value, object: &Value) -> Result<(), Trouble> {
    let ours = &object["spec"]["selector"];
    if text(object, "/kind") != "Deployment" || live["spec"]["selector"] == *ours {
        return Ok(());
    }
    let name = called(object);
    Err(Trouble::new(
        format!(
            "{name} was made in another way: its selector, which cannot be changed, is not ours"
        ),
        format!("delete {name} first, or deploy into another namespace"),
    ))
}

/// A failure, with what is usually done about one.
pub(super) fn trouble(failure: Failure) -> Trouble {
    let next = match failure.kind {
        Kind::Forbidden => "ask for the role, or choose another namespace or context",
        Kind::NotFound => "does the namespace exist? `kubectl create namespace NAME` makes it",
        Kind::Nowhere => "provision one first",
        _ => "nothing was changed; try again",
    };
    Trouble::new(failure.why, next)
}

fn refused(refusal: Refusal) -> Trouble {
    let failure = match refusal {
        Refusal::Failed(failure) => failure,
        Refusal::Conflicts(_) => Failure::new(Kind::Conflict, "fields belong to others"),
    };
    trouble(failure)
}

/// Looks at what is there of the workload.
pub(super) async fn look(session: &Session, workload: Workload) -> Result<Present, Trouble> {
    let mut present = Present::default();
    for role in Role::ALL {
        let name = workload.deployment(role);
        let found = get(session, "Deployment", &name).await.map_err(trouble)?;
        let Some(found) = found else { continue };
        let annotations = &found["metadata"]["annotations"];
        let order = annotations[ORDER].as_str();
        present.order = present.order.or_else(|| serde_json::from_str(order?).ok());
        present.run = present
            .run
            .or_else(|| annotations[RUN].as_str().map(str::to_owned));
        present.deployments.push(found);
    }
    if present.run.is_none() && present.deployments.is_empty() {
        // The workload was taken away, and its logs were left.
        let claims = ours(session, &[workload], "PersistentVolumeClaim").await;
        let claims = claims.map_err(trouble)?;
        // Runs begin with the time; of one that moved, the newest claim knows best.
        let newest = claims.iter().max_by_key(|claim| {
            let metadata = &claim["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&metadata["annotations"][RUN]),
                text(&metadata["creationTimestamp"]),
            )
        });
        if let Some(newest) = newest {
            present.learn(newest);
        }
    }
    Ok(present)
}

/// Which run it is to be, and whether it has begun already.
fn run(wanted: &Run, present: &Present) -> Result<(String, bool), Trouble> {
    match (wanted, &present.run) {
        (Run::Named(name), known) => Ok((name.clone(), known.as_ref() == Some(name))),
        (Run::Present | Run::Keep, Some(known)) => Ok((known.clone(), true)),
        (Run::Keep, None) if present.deployments.is_empty() => Err(Trouble::new(
            "there is no run here whose logs could be kept",
            "deploy without --keep-logs for a new one, or name an old one with --run NAME",
        )),
        (Run::Keep, None) => Err(Trouble::new(
            format!(
                "{} was not made by `aks-tui deploy`: where its logs are is not known",
                called(&present.deployments[0])
            ),
            "deploy with --fresh for a new run; nothing of the old one's logs is deleted",
        )),
        (Run::Fresh, _) | (Run::Present, None) => Ok((new_run(), false)),
    }
}

/// The name of a run that begins now: it sorts by time.
fn new_run() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("run-%Y%m%d-%H%M%S").to_string()
}

/// The storage that was asked for, completed; or what this cluster has.
async fn storage(
    session: &Session,
    wanted: Option<Storage>,
    notes: &mut Vec<String>,
) -> Result<Storage, Trouble> {
    match wanted {
        Some(Storage::Class { name, size, .. }) => {
            let class = class(session, &name).await?;
            Ok(Storage::Class {
                shared: Some(class.provisioner == FILE_DRIVER),
                name,
                size,
            })
        }
        Some(Storage::Claim { name }) => {
            let there = exists(session, "PersistentVolumeClaim", &name).await;
            if there.map_err(trouble)? {
                return Ok(Storage::Claim { name });
            }
            Err(Trouble::new(
                format!(
                    "there is no claim `{name}` in namespace `{}`",
                    session.namespace
                ),
                "make it, or choose another storage",
            ))
        }
        Some(other) => Ok(other),
        None => Ok(choose(session, notes).await),
    }
}

async fn class(session: &Session, name: &str) -> Result<StorageClass, Trouble> {
    let classes: Api<StorageClass> = Api::all(session.read.clone());
    let what = format!("read storage class `{name}`");
    let found = session.unary(&what, classes.get_opt(name)).await;
    if let Some(class) = found.map_err(trouble)? {
        return Ok(class);
    }
    let names: Vec<_> = list_classes(session)
        .await
        .unwrap_or_default()
        .into_iter()
        .filter_map(|class| class.metadata.name)
        .collect();
    Err(Trouble::new(
        format!("there is no storage class `{name}`"),
        format!("choose one of those that are there: {}", names.join(", ")),
    ))
}

async fn list_classes(session: &Session) -> Result<Vec<StorageClass>, Failure> {
    let classes: Api<StorageClass> = Api::all(session.read.clone());
    let params = ListParams::default();
    let request = classes.list(&params);
    let list = session.unary("list the storage classes", request).await?;
    Ok(list.items)
}

/// What this cluster has that outlives pods: AKS's file shares, else whatever
/// claims get by default.
async fn choose(session: &Session, notes: &mut Vec<String>) -> Storage {
    let classes = match list_classes(session).await {
        Ok(classes) => classes,
        Err(failure) => {
            notes.push(format!(
                "the logs go with the pod, because {}; --storage says where they may be",
                failure.why
            ));
            return Storage::Pod;
        }
    };
    let is_default = |class: &StorageClass| {
        let value = class.metadata.annotations.as_ref()?.get(DEFAULT_CLASS)?;
        Some(value == "true")
    };
    let chosen = classes
        .iter()
        .find(|class| class.metadata.name.as_deref() == Some(SHARED_CLASS))
        .or_else(|| classes.iter().find(|it| is_default(it) == Some(true)));
    if let Some(class) = chosen {
        return Storage::Class {
            name: class.metadata.name.clone().unwrap_or_default(),
            size: CLAIM_SIZE.to_owned(),
            shared: Some(class.provisioner == FILE_DRIVER),
        };
    }
    notes.push(
        "the logs go with the pod: this cluster has no default storage class; --storage says where they may be".into(),
    );
    Storage::Pod
}

/// A secret that is missing keeps pods from starting: better said before.
async fn check_secret(
    session: &Session,
    order: &Order,
    storage: &Storage,
    notes: &mut Vec<String>,
) {
    let account = order.is_original() || matches!(storage, Storage::Share { .. });
    let wanted = [
        account.then(|| order.secret()),
        order.pull_secret.as_deref(),
    ];
    for name in wanted.into_iter().flatten() {
        // Who may not look at secrets learns it from the pods.
        if let Ok(false) = exists(session, "Secret", name).await {
            notes.push(format!(
                "there is no secret `{name}` in namespace `{}`: the pods will wait for it",
                session.namespace
            ));
        }
    }
}

/// What a person should know before.
fn remarks(
    present: &Present,
    workload: Workload,
    order: &Order,
    storage: &Storage,
    run: &str,
    resumes: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    if resumes && !storage.outlives_pods() {
        notes.push(format!(
            "{run} goes on only if its pod is not replaced: its logs are in the pod"
        ));
    } else if resumes && workload == Workload::Helloworld {
        notes.push(format!("{run} goes on where it is"));
    } else if resumes {
        notes.push(format!(
            "{run} goes on where it is: its own number of rounds and sizes win over -n {}",
            order.rounds()
        ));
    } else if let Some(old) = &present.run {
        notes.push(format!(
            "{run} begins; the logs of {old} stay where they are"
        ));
    }
    let earlier = present
        .order
        .as_ref()
        .and_then(|order| order.storage.as_ref());
    if let Some(earlier) = earlier.filter(|it| resumes && it.to_string() != storage.to_string()) {
        notes.push(format!(
            "the logs of {run} are in {earlier}, and are not moved: what is in {storage} goes on, or begins anew"
        ));
    }
    if present.order.is_none() {
        notes.extend(present.deployments.iter().map(|found| {
            format!(
                "{} was not made by `deploy` and becomes what it makes; its run ends",
                called(found)
            )
        }));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn present(run: Option<&str>, deployments: usize) -> Present {
        let found = json!({"kind": "Deployment", "metadata": {"name": "d"}});
        Present {
            run: run.map(str::to_owned),
            deployments: vec![found; deployments],
            ..Present::default()
        }
    }

    #[test]
    fn a_run_is_kept_begun_or_named() {
        let here = present(Some("run-1"), 1);
        for wanted in [Run::Present, Run::Keep, Run::Named("run-1".into())] {
            assert_eq!(
                run(&wanted, &here),
                Ok(("run-1".into(), true)),
                "{wanted:?}"
            );
        }
        let (fresh, resumes) = run(&Run::Fresh, &here).unwrap();
        assert!(
            fresh.as_str() > "run-2020" && fresh.len() == 19 && !resumes,
            "{fresh}"
        );
        let nothing = present(None, 0);
        assert!(!run(&Run::Present, &nothing).unwrap().1);
        assert!(
            run(&Run::Keep, &nothing)
                .unwrap_err()
                .what
                .contains("no run here")
        );
        let foreign = present(None, 1);
        let why = run(&Run::Keep, &foreign).unwrap_err();
        assert!(why.what.contains("Deployment d was not made by"), "{why:?}");
        let named = run(&Run::Named("run-0".into()), &here);
        assert_eq!(named, Ok(("run-0".into(), false)));
    }

    #[test]
    fn resuming_says_whose_rounds_win() {
        let class = Storage::Class {
            name: "c".into(),
            size: "1Gi".into(),
            shared: None,
        };
        let order = Order::default();
        let said = |storage: &Storage, resumes| {
            remarks(
                &present(Some("run-1"), 0),
                Workload::Perftest,
                &order,
                storage,
                "run-1",
                resumes,
            )
            .join("; ")
        };
        assert!(said(&class, true).contains("win over -n 0"));
        assert!(said(&Storage::Pod, true).contains("its logs are in the pod"));
        assert!(said(&class, false).contains("stay where they are"));
        let mut moved = present(Some("run-1"), 0);
        moved.order = Some(Order {
            storage: Some(Storage::Claim { name: "x".into() }),
            ..Order::default()
        });
        let notes = remarks(&moved, Workload::Perftest, &order, &class, "run-1", true);
        assert!(
            notes.iter().any(|it| it.contains("are in claim:x")),
            "{notes:?}"
        );
    }
}
