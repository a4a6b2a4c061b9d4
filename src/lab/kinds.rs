//! The kinds of object the lab keeps, and what Kubernetes says of each of them.
//!
//! One table for the store, the paths of the API, discovery, the error texts
//! and what outlives the lab: whoever adds a kind adds it here, and the rest
//! follows. What a kind's objects look like in a table is in the API's tables,
//! which values they get when they do not say is in [`super::defaults`].

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret,
    Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub mod custom;

use custom::Custom;

/// How the API names one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version inside the group.
    pub version: &'static str,
    /// Name in paths: `pods`.
    pub plural: &'static str,
    /// Name for one: `pod`.
    pub singular: &'static str,
    /// Name in objects: `Pod`.
    pub kind: &'static str,
    /// Name of lists, empty for the usual one: `PodList`.
    pub list_kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Abbreviations that kubectl accepts.
    pub short: &'static [&'static str],
    /// Groups of kinds it belongs to, such as `all`.
    pub categories: &'static [&'static str],
}

/// A part or capability of a kind's objects with a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subresource {
    /// Last segment of the path.
    pub name: &'static str,
    /// Group, version and kind of what is read or written there.
    pub kind: (&'static str, &'static str, &'static str),
    /// What can be done.
    pub verbs: &'static [&'static str],
}

/// Where a kind's objects count replicas: paths of fields, with dots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// How many are wanted.
    pub wanted: &'static str,
    /// How many there are.
    pub counted: &'static str,
    /// A selector written as text; none means the object's `spec.selector`.
    pub selector: Option<&'static str>,
}

impl Replicas {
    /// How many an object wants; null when it does not say.
    pub fn wanted_of(self, object: &Value) -> &Value {
        field(object, self.wanted)
    }

    /// Says how many an object wants; false when there is no place for it.
    pub fn want(self, object: &mut Value, replicas: Value) -> bool {
        let mut place = object;
        for name in self.wanted.split('.') {
            if place.is_null() {
                *place = Value::Object(serde_json::Map::new());
            }
            if !place.is_object() {
                return false;
            }
            place = &mut place[name];
        }
        *place = replicas;
        true
    }

    /// How many an object has.
    pub fn counted_of(self, object: &Value) -> u64 {
        field(object, self.counted).as_u64().unwrap_or(0)
    }

    /// The selector that an object writes as text, if its kind does so.
    pub fn selector_of(self, object: &Value) -> Option<&str> {
        Some(field(object, self.selector?).as_str().unwrap_or_default())
    }
}

fn field<'a>(object: &'a Value, path: &str) -> &'a Value {
    let mut names = path.split('.');
    let found = names.try_fold(object, |at, name| at.get(name));
    found.unwrap_or(&Value::Null)
}

/// What of a kind's objects a lab that starts again finds again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing: they are made anew from what is kept.
    Nothing,
    /// What was asked for, without what became of it.
    Asked,
    /// All of it: what became of it cannot be found out again.
    Whole,
}

/// All that is said of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its names.
    pub names: Names,
    /// What can be done with its objects.
    pub verbs: &'static [&'static str],
    /// Whether its status is written through a path of its own.
    pub status: bool,
    /// Whether it has a number of replicas that can be written as a `Scale`.
    pub scale: Option<Replicas>,
    /// Its other subresources, in the order of their names.
    pub parts: &'static [Subresource],
    /// Whether the server counts changes of `spec` in `metadata.generation`.
    pub generation: bool,
    /// What clients can select by besides `metadata.name` and
    /// `metadata.namespace`, as the real server.
    pub fields: &'static [&'static str],
    /// What outlives the lab's process.
    pub kept: Kept,
    /// Reads an object by its type and writes what the type has of it.
    pub read: fn(&Value) -> Result<Value, serde_json::Error>,
}

/// What can be done with objects of most kinds.
const EVERYTHING: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const ALL_CATEGORY: &[&str] = &["all"];

/// Makes the enum of kinds and the table of what is said of them.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $about:expr;)*) => {
        /// A kind of object that the lab stores and serves.
        ///
        /// The order of the variants is the order in which a snapshot is
        /// restored: what others refer to comes first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Resource {
            $($(#[$doc])* $variant,)*
            /// A kind that a definition in the store has made.
            Custom(Custom),
        }

        impl Resource {
            /// Every kind that the lab brings along, in the order of the
            /// variants. [`super::store::Store::kinds`] has all there are.
            pub const ALL: [Self; [$(stringify!($variant)),*].len()] = [$(Self::$variant),*];

            /// All that is said of this kind.
            pub const fn about(self) -> &'static Kind {
                match self {
                    $(Self::$variant => {
                        const ABOUT: Kind = $about;
                        &ABOUT
                    })*
                    Self::Custom(custom) => custom.about(),
                }
            }
        }
    };
}

kinds! {
    /// `v1 Namespace`
    Namespaces = Kind {
        status: true,
        // No collection of them is deleted at once, on the real server neither.
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        fields: &["status.phase"],
        kept: Kept::Whole,
        ..cluster::<Namespace>("namespace", &["ns"])
    };
    /// `apiextensions.k8s.io/v1 CustomResourceDefinition`
    CustomResourceDefinitions = Kind {
        names: Names {
            categories: &["api-extensions"],
            ..cluster::<CustomResourceDefinition>("customresourcedefinition", &["crd", "crds"]).names
        },
        status: true,
        generation: true,
        kept: Kept::Whole,
        ..cluster::<CustomResourceDefinition>("customresourcedefinition", &["crd", "crds"])
    };
    /// `v1 Node`
    Nodes = Kind {
        status: true,
        fields: &["spec.unschedulable"],
        ..cluster::<Node>("node", &["no"])
    };
    /// `scheduling.k8s.io/v1 PriorityClass`
    PriorityClasses = cluster::<PriorityClass>("priorityclass", &["pc"]);
    /// `rbac.authorization.k8s.io/v1 ClusterRole`
    ClusterRoles = cluster::<ClusterRole>("clusterrole", &[]);
    /// `rbac.authorization.k8s.io/v1 ClusterRoleBinding`
    ClusterRoleBindings = cluster::<ClusterRoleBinding>("clusterrolebinding", &[]);
    /// `rbac.authorization.k8s.io/v1 Role`
    Roles = namespaced::<Role>("role", &[]);
    /// `rbac.authorization.k8s.io/v1 RoleBinding`
    RoleBindings = namespaced::<RoleBinding>("rolebinding", &[]);
    /// `v1 ServiceAccount`
    ServiceAccounts = Kind {
        parts: &[Subresource {
            name: "token",
            kind: ("authentication.k8s.io", "v1", "TokenRequest"),
            verbs: &["create"],
        }],
        ..namespaced::<ServiceAccount>("serviceaccount", &["sa"])
    };
    /// `v1 ConfigMap`
    ConfigMaps = namespaced::<ConfigMap>("configmap", &["cm"]);
    /// `v1 Secret`
    Secrets = Kind {
        fields: &["type"],
        ..namespaced::<Secret>("secret", &[])
    };
    /// `storage.k8s.io/v1 StorageClass`
    StorageClasses = cluster::<StorageClass>("storageclass", &["sc"]);
    /// `v1 PersistentVolume`
    PersistentVolumes = Kind {
        status: true,
        kept: Kept::Whole,
        ..cluster::<PersistentVolume>("persistentvolume", &["pv"])
    };
    /// `v1 PersistentVolumeClaim`
    PersistentVolumeClaims = Kind {
        status: true,
        kept: Kept::Whole,
        ..namespaced::<PersistentVolumeClaim>("persistentvolumeclaim", &["pvc"])
    };
    /// `v1 Service`
    Services = Kind {
        names: in_all(namespaced::<Service>("service", &["svc"])),
        status: true,
        fields: &["spec.clusterIP", "spec.type"],
        parts: SERVICE_PARTS,
        ..namespaced::<Service>("service", &["svc"])
    };
    /// `discovery.k8s.io/v1 EndpointSlice`
    EndpointSlices = Kind {
        kept: Kept::Nothing,
        ..namespaced::<EndpointSlice>("endpointslice", &[])
    };
    /// `policy/v1 PodDisruptionBudget`
    PodDisruptionBudgets = Kind {
        status: true,
        generation: true,
        ..namespaced::<PodDisruptionBudget>("poddisruptionbudget", &["pdb"])
    };
    /// `apps/v1 ControllerRevision`
    ControllerRevisions = namespaced::<ControllerRevision>("controllerrevision", &[]);
    /// `apps/v1 Deployment`
    Deployments = workload(namespaced::<Deployment>("deployment", &["deploy"]));
    /// `apps/v1 ReplicaSet`
    ReplicaSets = Kind {
        fields: &["status.replicas"],
        ..workload(namespaced::<ReplicaSet>("replicaset", &["rs"]))
    };
    /// `apps/v1 StatefulSet`
    StatefulSets = Kind {
        // Which revision a held-back update came from is said nowhere else.
        kept: Kept::Whole,
        ..workload(namespaced::<StatefulSet>("statefulset", &["sts"]))
    };
    /// `batch/v1 Job`
    Jobs = Kind {
        names: in_all(namespaced::<Job>("job", &[])),
        status: true,
        generation: true,
        fields: &["status.successful"],
        // A job that is done must not be done again.
        kept: Kept::Whole,
        ..namespaced::<Job>("job", &[])
    };
    /// `v1 Pod`
    Pods = Kind {
        names: in_all(namespaced::<Pod>("pod", &["po"])),
        status: true,
        parts: POD_PARTS,
        fields: &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        kept: Kept::Nothing,
        ..namespaced::<Pod>("pod", &["po"])
    };
    /// `v1 Event`
    Events = Kind {
        fields: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        kept: Kept::Nothing,
        ..namespaced::<Event>("event", &["ev"])
    };
    /// `coordination.k8s.io/v1 Lease`
    Leases = Kind {
        kept: Kept::Nothing,
        ..namespaced::<Lease>("lease", &[])
    };
}

/// One verb for each method that is passed on.
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

const SERVICE_PARTS: &[Subresource] = &[Subresource {
    name: "proxy",
    kind: ("", "v1", "ServiceProxyOptions"),
    verbs: PROXY,
}];

const POD_PARTS: &[Subresource] = &[
    Subresource {
        name: "attach",
        kind: ("", "v1", "PodAttachOptions"),
        verbs: &["create", "get"],
    },
    Subresource {
        name: "eviction",
        kind: ("policy", "v1", "Eviction"),
        verbs: &["create"],
    },
    Subresource {
        name: "exec",
        kind: ("", "v1", "PodExecOptions"),
        verbs: &["create", "get"],
    },
    Subresource {
        name: "log",
        kind: ("", "v1", "Pod"),
        verbs: &["get"],
    },
    Subresource {
        name: "portforward",
        kind: ("", "v1", "PodPortForwardOptions"),
        verbs: &["create", "get"],
    },
    Subresource {
        name: "proxy",
        kind: ("", "v1", "PodProxyOptions"),
        verbs: PROXY,
    },
];

/// A kind outside namespaces.
const fn cluster<T>(singular: &'static str, short: &'static [&'static str]) -> Kind
where
    T: k8s_openapi::Resource<Scope = k8s_openapi::ClusterResourceScope>
        + Serialize
        + DeserializeOwned,
{
    kind::<T>(singular, short, false)
}

/// A kind inside namespaces.
const fn namespaced<T>(singular: &'static str, short: &'static [&'static str]) -> Kind
where
    T: k8s_openapi::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Serialize
        + DeserializeOwned,
{
    kind::<T>(singular, short, true)
}

const fn kind<T: k8s_openapi::Resource + Serialize + DeserializeOwned>(
    singular: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
) -> Kind {
    Kind {
        names: Names {
            group: T::GROUP,
            version: T::VERSION,
            plural: T::URL_PATH_SEGMENT,
            singular,
            kind: T::KIND,
            list_kind: "",
            namespaced,
            short,
            categories: &[],
        },
        verbs: EVERYTHING,
        status: false,
        scale: None,
        parts: &[],
        generation: false,
        fields: &[],
        kept: Kept::Asked,
        read: round_trip::<T>,
    }
}

/// The names of a kind that `kubectl get all` shows.
const fn in_all(kind: Kind) -> Names {
    Names {
        categories: ALL_CATEGORY,
        ..kind.names
    }
}

/// A kind that keeps a number of pods running.
const fn workload(kind: Kind) -> Kind {
    Kind {
        names: in_all(kind),
        status: true,
        scale: Some(Replicas {
            wanted: "spec.replicas",
            counted: "status.replicas",
            selector: None,
        }),
        generation: true,
        ..kind
    }
}

fn round_trip<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(object)?)
}

impl Resource {
    /// What the API calls this kind.
    pub const fn names(self) -> Names {
        self.about().names
    }

    /// The kind that a group and a plural name, if the lab keeps it.
    pub fn find(group: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| {
            let names = resource.names();
            names.group == group && names.plural == plural
        })
    }

    /// The kind of a list of its objects: `PodList`.
    pub fn list_kind(self) -> String {
        let names = self.names();
        match names.list_kind {
            "" => format!("{}List", names.kind),
            own => own.to_owned(),
        }
    }

    /// The kind of an object that says `apiVersion` and `kind`: one that the lab
    /// brings along, or one that was defined since it runs and may be gone.
    pub fn of_type(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|it| it.names().kind == kind && it.api_version() == api_version)
            .or_else(|| custom::of_type(api_version, kind))
    }

    /// The plural, with the group when there is one: `pods`, `deployments.apps`.
    /// It is how the real server names a kind in its error texts.
    pub fn qualified(self) -> String {
        let names = self.names();
        if names.group.is_empty() {
            names.plural.to_owned()
        } else {
            format!("{}.{}", names.plural, names.group)
        }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(self) -> String {
        let names = self.names();
        if names.group.is_empty() {
            names.version.to_owned()
        } else {
            format!("{}/{}", names.group, names.version)
        }
    }

    /// Whether the server counts changes of `spec` in `metadata.generation`.
    pub const fn has_generation(self) -> bool {
        self.about().generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_names() {
        for resource in Resource::ALL {
            let names = resource.names();
            assert_eq!(Resource::find(names.group, names.plural), Some(resource));
            let version = resource.api_version();
            assert_eq!(Resource::of_type(&version, names.kind), Some(resource));
            assert_eq!(names.singular, names.kind.to_lowercase());
        }
        assert_eq!(Resource::find("apps", "pods"), None);
        assert_eq!(Resource::of_type("v1", "Deployment"), None);
    }
}
