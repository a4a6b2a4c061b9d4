//! Cleaning, for the command and for the cockpit's desk: Azure's part of it, and the
//! part that is in the cluster.

use std::path::PathBuf;

use color_eyre::eyre::{Result, WrapErr};
use serde_json::json;

use super::logs;
use crate::{
    adapters::{
        azure::{Client, api::Paths, clean::Cleaner, kubernetes, preflight},
        cluster,
    },
    cli::{CLIENT, SERVER},
    commands::deploy::Talk,
    core::{
        azure::{
            clean::{Fate, Object, Preview, Scope},
            progress::Progress,
            settings::Settings,
        },
        deploy::{Change, GONE_WITHIN, Plan, Planned},
        effect::Effect,
    },
};

/// What ids of the workload's objects begin with.
const WORKLOAD: &str = "workload/";

/// Somebody who cleans.
pub struct Cleaning<'a> {
    client: &'a Client,
    settings: &'a Settings,
    also: &'a [String],
    paths: Paths,
    kubeconfig: PathBuf,
}

impl<'a> Cleaning<'a> {
    /// Prepares to clean what `settings` name; `also` may go though it is not ours.
    /// The cluster's credentials are at `kubeconfig`, or are fetched to there.
    pub async fn new(
        client: &'a Client,
        settings: &'a Settings,
        kubeconfig: PathBuf,
        also: &'a [String],
    ) -> Result<Self> {
        let subscription = preflight::subscription(client, &settings.azure.subscription).await?;
        Ok(Self {
            client,
            settings,
            also,
            paths: Paths {
                subscription: subscription["subscriptionId"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                group: settings.azure.resource_group.clone(),
            },
            kubeconfig,
        })
    }

    fn cleaner(&self) -> Cleaner<'_> {
        Cleaner {
            client: self.client,
            settings: self.settings,
            paths: self.paths.clone(),
            kubeconfig: &self.kubeconfig,
            also: self.also,
        }
    }

    /// What would disappear. Changes nothing but the cluster's credentials here: fetched
    /// where they are missing, removed where the whole group is gone.
    pub async fn preview(&self, scope: Scope) -> Result<Preview> {
        let runs = scope != Scope::All && self.cleaner().cluster_runs().await?;
        if runs && !self.kubeconfig.is_file() {
            let program = std::env::current_exe().wrap_err("cannot tell where this program is")?;
            kubernetes::write_kubeconfig(
                self.client,
                &self.paths,
                self.settings,
                &self.kubeconfig,
                &program,
            )
            .await?;
        }
        let mut preview = self.cleaner().preview(scope).await?;
        if scope == Scope::All && preview.objects.is_empty() {
            // Whoever deleted the group may have been killed before this.
            kubernetes::forget_kubeconfig(&self.kubeconfig);
        }
        if runs && scope == Scope::Logs {
            let mut talk = self.talk();
            let found = logs::preview(&mut talk).await;
            talk.end().await;
            preview.objects = found?;
        }
        if runs && scope == Scope::Most {
            let mut talk = self.talk();
            let wish = Effect::PlanUndeploy {
                workload: None,
                storage: true,
            };
            let planned = talk.plan(wish).await;
            talk.end().await;
            let mut plan = planned?;
            self.add_foreign(&mut plan).await?;
            // Pods that mount the share go before it does.
            let mut objects = workload(&plan, self.also);
            objects.append(&mut preview.objects);
            preview.objects = objects;
        }
        Ok(preview)
    }

    /// What else runs in the workload's namespace stays, and is named.
    async fn add_foreign(&self, plan: &mut Plan) -> Result<()> {
        let cluster = kubernetes::connect(&self.kubeconfig).await?;
        let namespace = &self.settings.workload.namespace;
        for (name, uid) in kubernetes::foreign_deployments(&cluster, namespace).await? {
            let known = |it: &Planned| it.kind == "Deployment" && it.name == name;
            if !plan.objects.iter().any(known) {
                plan.objects.push(Planned {
                    kind: "Deployment".to_owned(),
                    name,
                    change: Change::Leave,
                    fields: Vec::new(),
                    object: json!({"metadata": {"uid": uid}}),
                });
            }
        }
        Ok(())
    }

    /// Deletes what `preview` says, and waits until it is gone.
    pub async fn carry_out(
        &self,
        preview: &Preview,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<()> {
        let (inside, outside): (Vec<_>, Vec<_>) = preview
            .objects
            .iter()
            .cloned()
            .partition(|object| object.id.starts_with(WORKLOAD));
        if preview.scope == Scope::Logs {
            let mut talk = self.talk();
            let swept = logs::carry_out(&mut talk, &preview.objects, tell).await;
            talk.end().await;
            return swept;
        }
        if inside.iter().any(|object| object.fate == Fate::Delete) {
            self.undeploy(&inside, tell).await?;
        }
        let rest = Preview {
            objects: outside,
            ..preview.clone()
        };
        self.cleaner().carry_out(&rest, tell).await?;
        if preview.scope == Scope::All {
            kubernetes::forget_kubeconfig(&self.kubeconfig);
        }
        Ok(())
    }

    async fn undeploy(
        &self,
        objects: &[Object],
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<()> {
        tell(Progress::Step {
            doing: format!(
                "take the workload in namespace {} away",
                self.settings.workload.namespace
            ),
        });
        let plan = Plan {
            objects: objects.iter().filter_map(planned).collect(),
            ..Plan::default()
        };
        let count = plan.objects.len() as u32;
        let wish = Effect::Undeploy {
            plan: Box::new(plan),
            within: GONE_WITHIN,
        };
        let mut talk = self.talk();
        let say = |text: &str| {
            tell(Progress::Note {
                text: text.replacen("done", "gone", 1),
            });
        };
        let gone = talk
            .carry_out(wish, GONE_WITHIN * count, |_| false, say)
            .await;
        talk.end().await;
        gone.map(|_| ())
    }

    fn talk(&self) -> Talk {
        Talk::with(cluster::Options {
            kubeconfig: Some(self.kubeconfig.clone()),
            namespace: Some(self.settings.workload.namespace.clone()),
            client_selector: CLIENT.to_owned(),
            server_selector: SERVER.to_owned(),
            ..cluster::Options::default()
        })
    }
}

/// What a plan to take the workload away comes to, in the words of a clean.
fn workload(plan: &Plan, also: &[String]) -> Vec<Object> {
    let of = |planned: &Planned| {
        let (kind, name) = (&planned.kind, &planned.name);
        let ours = planned.change == Change::Delete;
        let goes = ours || also.iter().any(|also| also == name);
        let note = match (kind.as_str(), goes) {
            ("Deployment", true) => "with its pods".to_owned(),
            ("PersistentVolumeClaim", true) => "with the logs in it".to_owned(),
            (_, true) => String::new(),
            (_, false) => format!("without our label; --also {name} lets it go"),
        };
        let uid = planned.object["metadata"]["uid"].as_str();
        Object {
            id: format!("{WORKLOAD}{kind}/{name}/{}", uid.unwrap_or_default()),
            kind: words(kind),
            name: format!("{}/{name}", plan.namespace),
            fate: if goes { Fate::Delete } else { Fate::Stays },
            note,
        }
    };
    plan.objects.iter().map(of).collect()
}

/// The object of the cluster that `object` of a clean is about, to be deleted.
fn planned(object: &Object) -> Option<Planned> {
    let mut parts = object.id.strip_prefix(WORKLOAD)?.splitn(3, '/');
    let (kind, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    (object.fate == Fate::Delete).then(|| Planned {
        kind: kind.to_owned(),
        name: name.to_owned(),
        change: Change::Delete,
        fields: Vec::new(),
        object: json!({"metadata": {"uid": uid}}),
    })
}

/// `PersistentVolumeClaim` as people write it: `persistent volume claim`.
fn words(kind: &str) -> String {
    let mut words = String::new();
    for c in kind.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_the_workload_is_what_goes() {
        let of = |name: &str, change| Planned {
            kind: "PersistentVolumeClaim".to_owned(),
            name: name.to_owned(),
            change,
            fields: Vec::new(),
            object: json!({"metadata": {"uid": "u"}}),
        };
        let plan = Plan {
            namespace: "n".to_owned(),
            objects: vec![
                of("a", Change::Delete),
                of("b", Change::Leave),
                of("c", Change::Leave),
            ],
            ..Plan::default()
        };
        let shown = workload(&plan, &["c".to_owned()]);
        assert_eq!(shown[0].kind, "persistent volume claim");
        assert_eq!(shown[0].name, "n/a");
        let fates: Vec<_> = shown.iter().map(|it| it.fate).collect();
        assert_eq!(fates, [Fate::Delete, Fate::Stays, Fate::Delete]);
        let gone: Vec<_> = shown.iter().filter_map(planned).collect();
        assert_eq!(gone, [of("a", Change::Delete), of("c", Change::Delete)]);
    }
}
