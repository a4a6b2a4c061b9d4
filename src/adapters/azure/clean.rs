//! Making disappear what aks-tui made, and nothing else.

use std::{path::Path, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use super::{
    api::{self, Paths},
    apply::{Tell, patiently},
    client::{Call, Client},
    error::Failure,
    kubernetes, machines,
    preflight::{self, Lock},
    template,
};
use crate::core::azure::{
    OWNER,
    clean::{Fate, Object, Preview, Scope},
    plan::{kind_and_name, kind_name},
    progress::Progress,
    settings::Settings,
};

/// Between looks whether something is gone.
const LOOK: Duration = Duration::from_secs(2);

/// How long something may take to be gone after its deletion was done.
const GONE_WITHIN: u32 = 450;

/// Who cleans, what, and where.
pub struct Cleaner<'a> {
    /// Who talks to Azure.
    pub client: &'a Client,
    /// What is wanted there.
    pub settings: &'a Settings,
    /// Where it is.
    pub paths: Paths,
    /// The cluster's credentials, if we have them.
    pub kubeconfig: &'a Path,
    /// What is not ours and may go nevertheless, by name.
    pub also: &'a [String],
}

/// The power of a cluster that answers nobody.
const STOPPED: &str = "Stopped";

fn is_ours(resource: &Value) -> bool {
    resource["tags"][OWNER.0] == OWNER.1
}

impl Cleaner<'_> {
    fn may_go(&self, resource: &Value, name: &str) -> bool {
        is_ours(resource) || self.also.iter().any(|also| also.eq_ignore_ascii_case(name))
    }

    /// What would disappear. Asks, changes nothing.
    pub async fn preview(&self, scope: Scope) -> Result<Preview, Failure> {
        let nothing = Preview {
            scope,
            group: self.paths.group.clone(),
            objects: Vec::new(),
            refused: Vec::new(),
        };
        let Some(group) = self.find_group().await? else {
            return Ok(nothing);
        };
        match self.look(&group, nothing.clone()).await {
            // Somebody else is deleting the group, and it went while we looked.
            Err(failure) if failure.is_missing() && self.find_group().await?.is_none() => {
                Ok(nothing)
            }
            seen => seen,
        }
    }

    async fn find_group(&self) -> Result<Option<Value>, Failure> {
        let wanted = "read the resource group";
        let read = Call::get(wanted, self.paths.group(), api::RESOURCES);
        self.client.find(&read).await
    }

    async fn look(&self, group: &Value, mut preview: Preview) -> Result<Preview, Failure> {
        let locks = preflight::locks_of(self.client, &self.paths.group()).await?;
        match preview.scope {
            Scope::All => self.all(group, &locks, &mut preview).await?,
            Scope::Most => {
                self.auth(&locks, &mut preview).await?;
                self.most(&locks, &mut preview).await?;
            }
            Scope::Auth => self.auth(&locks, &mut preview).await?,
            // They are on a share or a claim, which only the cluster can reach.
            Scope::Logs => {
                if self.power().await?.as_deref() == Some(STOPPED) {
                    preview.refused.push(self.stopped());
                }
            }
        }
        Ok(preview)
    }

    async fn all(
        &self,
        group: &Value,
        locks: &[Lock],
        preview: &mut Preview,
    ) -> Result<(), Failure> {
        let list = Call::get(
            "list what is in the resource group",
            format!("{}/resources", self.paths.group()),
            api::RESOURCES,
        );
        let resources = self.client.list(&list).await?;
        for resource in &resources {
            let text = |key: &str| resource[key].as_str().unwrap_or_default().to_owned();
            let ours = self.may_go(resource, &text("name"));
            let cluster =
                text("type").eq_ignore_ascii_case("Microsoft.ContainerService/managedClusters");
            preview.objects.push(Object {
                id: text("id"),
                kind: kind_name(&text("type")).to_owned(),
                name: text("name"),
                fate: if ours { Fate::GoesAlong } else { Fate::Objects },
                note: match (ours, cluster) {
                    (true, true) => "with its nodes and everything that runs on them".to_owned(),
                    (true, false) => String::new(),
                    (false, _) => {
                        format!("not made by aks-tui; --also {} lets it go", text("name"))
                    }
                },
            });
        }
        let name = &self.paths.group;
        let ours = self.may_go(group, name);
        preview.objects.push(Object {
            id: self.paths.group(),
            kind: "resource group".to_owned(),
            name: name.clone(),
            fate: if ours { Fate::Delete } else { Fate::Objects },
            note: if ours {
                String::new()
            } else {
                format!("not made by aks-tui; --also {name} lets it go")
            },
        });
        preview.refused = locks.iter().map(lock_words).collect();
        Ok(())
    }

    async fn most(&self, locks: &[Lock], preview: &mut Preview) -> Result<(), Failure> {
        let settings = self.settings;
        let account = (
            self.paths.account(&settings.storage.account),
            api::STORAGE,
            "with its shares and the logs in them",
        );
        let registry = (
            self.paths.registry(&settings.registry.name),
            api::REGISTRY,
            "with the images in it",
        );
        let mut wanted = vec![account];
        if !settings.registry.name.is_empty() {
            wanted.push(registry);
        }
        for (id, api, note) in wanted {
            let (kind, name) = kind_and_name(&id);
            let read = Call::get(format!("read the {} {name}", kind_name(&kind)), &id, api);
            let Some(found) = self.client.find(&read).await? else {
                continue;
            };
            let goes = self.may_go(&found, &name);
            if goes {
                preview.refused.extend(locks_on(locks, &id));
            }
            preview.objects.push(Object {
                id,
                kind: kind_name(&kind).to_owned(),
                fate: if goes { Fate::Delete } else { Fate::Stays },
                note: if goes {
                    note.to_owned()
                } else {
                    format!("not made by aks-tui; --also {name} lets it go")
                },
                name,
            });
        }
        Ok(())
    }

    /// Role assignments that let clusters pull from our registry, and the secrets in
    /// the cluster.
    async fn auth(&self, locks: &[Lock], preview: &mut Preview) -> Result<(), Failure> {
        let settings = self.settings;
        if !settings.registry.name.is_empty() {
            let scope = self.paths.registry(&settings.registry.name);
            let list = Call::get(
                "list the registry's role assignments",
                format!("{scope}/providers/Microsoft.Authorization/roleAssignments"),
                api::ROLES,
            )
            .query("$filter", "atScope()");
            let own = template::pull_assignment(settings, &self.paths);
            let found = match self.client.list(&list).await {
                Ok(found) => found,
                Err(failure) if failure.is_missing() => Vec::new(),
                Err(failure) => return Err(failure),
            };
            for assignment in found {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let name = text(&assignment["name"]);
                // What is inherited from above belongs to somebody else.
                if !text(&assignment["properties"]["scope"]).eq_ignore_ascii_case(&scope) {
                    continue;
                }
                let goes = name.eq_ignore_ascii_case(&own)
                    || self
                        .also
                        .iter()
                        .any(|also| also.eq_ignore_ascii_case(&name));
                let id = text(&assignment["id"]);
                if goes {
                    preview.refused.extend(locks_on(locks, &id));
                }
                preview.objects.push(Object {
                    id,
                    kind: "role assignment".to_owned(),
                    fate: if goes { Fate::Delete } else { Fate::Stays },
                    note: if goes {
                        "the cluster's nodes pull no more images".to_owned()
                    } else {
                        format!("not made by aks-tui; --also {name} lets it go")
                    },
                    name,
                });
            }
        }
        if !settings.legacy.service_principal.is_empty() {
            preview.objects.push(Object {
                id: settings.legacy.service_principal.clone(),
                kind: "service principal".to_owned(),
                name: settings.legacy.service_principal.clone(),
                fate: Fate::Stays,
                note: "of an older set-up, in the directory, not in Azure: `az ad sp delete` deletes it".to_owned(),
            });
        }
        self.secrets(preview).await
    }

    /// Whether the cluster is there and can be asked.
    pub async fn cluster_runs(&self) -> Result<bool, Failure> {
        Ok(self.power().await?.is_some_and(|power| power != STOPPED))
    }

    fn stopped(&self) -> String {
        format!(
            "the stopped cluster {} (`aks-tui cluster start`)",
            self.settings.cluster.name
        )
    }

    /// The cluster's power, in Azure's word; none if there is no cluster.
    async fn power(&self) -> Result<Option<String>, Failure> {
        machines::power(self.client, &self.paths, &self.settings.cluster.name).await
    }

    async fn secrets(&self, preview: &mut Preview) -> Result<(), Failure> {
        if !self.kubeconfig.is_file() {
            return Ok(());
        }
        let Some(power) = self.power().await? else {
            return Ok(());
        };
        if power == STOPPED {
            preview.refused.push(self.stopped());
            return Ok(());
        }
        let kube = kubernetes::connect(self.kubeconfig).await?;
        let namespace = &self.settings.workload.namespace;
        for name in [
            &self.settings.storage.secret,
            &self.settings.registry.secret,
        ] {
            let Some(ours) = kubernetes::find_secret(&kube, namespace, name).await? else {
                continue;
            };
            let goes = ours || self.also.iter().any(|also| also == name);
            preview.objects.push(Object {
                id: format!("secret/{namespace}/{name}"),
                kind: "secret".to_owned(),
                name: format!("{namespace}/{name}"),
                fate: if goes { Fate::Delete } else { Fate::Stays },
                note: if goes {
                    "pods that mount the share do not start again without it".to_owned()
                } else {
                    format!("without our label; --also {name} lets it go")
                },
            });
        }
        Ok(())
    }

    /// Deletes what `preview` says, and waits until it is gone.
    pub async fn carry_out(&self, preview: &Preview, tell: Tell<'_>) -> Result<(), Failure> {
        for object in preview
            .objects
            .iter()
            .filter(|object| object.fate == Fate::Delete)
        {
            tell(Progress::Step {
                doing: format!("delete the {} {}", object.kind, object.name),
            });
            if let Some(secret) = object.id.strip_prefix("secret/") {
                let kube = kubernetes::connect(self.kubeconfig).await?;
                let (namespace, name) = secret.split_once('/').unwrap_or(("", secret));
                kubernetes::delete_secret(&kube, namespace, name).await?;
            } else {
                self.delete(object, tell).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, object: &Object, tell: Tell<'_>) -> Result<(), Failure> {
        let wanted = format!("delete the {} {}", object.kind, object.name);
        let api = match object.kind.as_str() {
            "resource group" => api::RESOURCES,
            "storage account" => api::STORAGE,
            "container registry" => api::REGISTRY,
            _ => api::ROLES,
        };
        let call = Call::delete(&wanted, &object.id, api).accepting(&[404]);
        let deleted = patiently(self.client, &call, tell).await;
        if let Err(failure) = deleted {
            return match failure {
                failure if failure.is_missing() => Ok(()),
                failure if failure.has("ScopeLocked") => {
                    let locks = preflight::locks_of(self.client, &object.id)
                        .await
                        .unwrap_or_default();
                    let names: Vec<String> = locks.iter().map(lock_words).collect();
                    Err(Failure::new(
                        wanted,
                        format!("{failure}: {}", names.join(", ")),
                    ))
                }
                failure => Err(failure),
            };
        }
        let read = Call::get(&wanted, &object.id, api);
        for _ in 0..GONE_WITHIN {
            if self.client.find(&read).await?.is_none() {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(Failure::new(
            wanted,
            "it was deleted and is still there; look again later",
        ))
    }
}

/// The locks that keep what `id` names: on itself, or on something around it.
fn locks_on(locks: &[Lock], id: &str) -> Vec<String> {
    locks
        .iter()
        .filter(|lock| {
            let scope = lock.id.to_ascii_lowercase();
            let scope = scope
                .rsplit_once("/providers/microsoft.authorization/locks/")
                .map_or("", |(scope, _)| scope);
            id.to_ascii_lowercase().starts_with(scope)
        })
        .map(lock_words)
        .collect()
}

fn lock_words(lock: &Lock) -> String {
    let notes = if lock.notes.is_empty() {
        String::new()
    } else {
        format!(" ({})", lock.notes)
    };
    format!("the lock {} ({}){notes}", lock.name, lock.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_what_it_is_on_and_what_is_in_it() {
        let lock = |scope: &str| Lock {
            name: "keep".to_owned(),
            id: format!("{scope}/providers/Microsoft.Authorization/locks/keep"),
            level: "CanNotDelete".to_owned(),
            notes: String::new(),
        };
        let account =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
        assert_eq!(
            locks_on(&[lock("/subscriptions/S/resourceGroups/G")], account).len(),
            1
        );
        assert_eq!(
            locks_on(&[lock(account)], account),
            ["the lock keep (CanNotDelete)"]
        );
        assert!(locks_on(&[lock(&format!("{account}x"))], account).is_empty());
    }
}
