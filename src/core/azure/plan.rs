//! What there is to do in Azure, what stands in its way, and what it costs.

use serde::{Deserialize, Serialize};

/// A plan, complete.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Who is signed in, where, in words.
    pub account: Account,
    /// What was looked at before.
    pub checks: Vec<Check>,
    /// What becomes of each resource.
    pub changes: Vec<Change>,
    /// Whether exactly this was made before, and nothing else of ours since: what
    /// differs now was changed by somebody else.
    #[serde(default)]
    pub made_before: bool,
    /// What it costs, where prices are known.
    pub cost: Option<Cost>,
    /// How long it takes, seconds; from what such things took before.
    pub seconds: u64,
}

/// Who is signed in, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// How: `az login`.
    pub how: String,
    /// The subscription's name.
    pub name: String,
    /// Its id.
    pub subscription: String,
    /// Its tenant.
    pub tenant: String,
    /// The resource group.
    pub group: String,
    /// The region.
    pub location: String,
}

/// Something that was looked at before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was found, and what to do about it.
    pub what: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Fine.
    Fine,
    /// It may go wrong, or could not be looked at.
    Doubt,
    /// It would fail.
    Stop,
}

/// What becomes of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// Its type: `Microsoft.Storage/storageAccounts`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub action: Action,
    /// What differs.
    pub deltas: Vec<Delta>,
    /// Differences that are only what the service fills in, and were left out.
    pub folded: usize,
}

/// What becomes of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed.
    Modify,
    /// It is deleted.
    Delete,
    /// It is as it should be.
    Keep,
    /// It is in the group and none of ours.
    Ignore,
    /// Azure cannot tell.
    Unknown,
}

/// What differs in a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The property.
    pub path: String,
    /// How it is, if it is there.
    pub before: Option<String>,
    /// How it will be, if it will be there.
    pub after: Option<String>,
}

/// What it costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// `USD`.
    pub currency: String,
    /// What costs.
    pub items: Vec<Price>,
    /// What costs too and is not in the sum.
    pub leaves_out: Vec<String>,
}

/// What one thing costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// What.
    pub what: String,
    /// For an hour.
    pub per_hour: f64,
    /// While what is there.
    #[serde(default)]
    pub paid: Paid,
}

/// While what is there something costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paid {
    /// A cluster, whether it runs or not.
    #[default]
    Standing,
    /// A cluster that runs.
    Nodes,
    /// The registry.
    Registry,
}

/// Hours of a month, as Azure reckons.
pub const HOURS_OF_A_MONTH: f64 = 730.0;

impl Cost {
    /// Everything, for an hour.
    pub fn per_hour(&self) -> f64 {
        self.items.iter().map(|item| item.per_hour).sum()
    }

    /// Everything, for a month.
    pub fn per_month(&self) -> f64 {
        self.per_hour() * HOURS_OF_A_MONTH
    }
}

impl Plan {
    /// Whether everything is as it should be.
    pub fn is_done(&self) -> bool {
        self.changes
            .iter()
            .all(|change| matches!(change.action, Action::Keep | Action::Ignore))
    }

    /// What would make it fail.
    pub fn stops(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.verdict == Verdict::Stop)
    }

    /// What others changed since it was made: making the plan true takes it back.
    pub fn drifted(&self) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .filter(|change| self.made_before && change.action == Action::Modify)
    }

    /// How many resources meet this fate.
    pub fn count(&self, action: Action) -> usize {
        self.changes
            .iter()
            .filter(|change| change.action == action)
            .count()
    }
}

/// What people call resources of a type.
pub fn kind_name(kind: &str) -> &str {
    match kind.to_ascii_lowercase().as_str() {
        "microsoft.storage/storageaccounts" => "storage account",
        "microsoft.storage/storageaccounts/fileservices/shares" => "file share",
        "microsoft.containerregistry/registries" => "container registry",
        "microsoft.containerservice/managedclusters" => "cluster",
        "microsoft.authorization/roleassignments" => "role assignment",
        "microsoft.resources/resourcegroups" => "resource group",
        _ => kind,
    }
}

/// The type and the name of the resource with this id: what follows the last
/// `/providers/`, its odd parts the type, its even ones the name.
pub fn kind_and_name(id: &str) -> (String, String) {
    let lower = id.to_ascii_lowercase();
    let Some(at) = lower.rfind("/providers/") else {
        let mut parts = id.rsplit('/');
        let name = parts.next().unwrap_or_default().to_owned();
        let is_group = parts
            .next()
            .is_some_and(|part| part.eq_ignore_ascii_case("resourceGroups"));
        let kind = if is_group {
            "Microsoft.Resources/resourceGroups"
        } else {
            ""
        };
        return (kind.to_owned(), name);
    };
    let mut parts = id[at + "/providers/".len()..].split('/');
    let mut kind = parts.next().unwrap_or_default().to_owned();
    let mut name = String::new();
    while let Some(part) = parts.next() {
        kind.push('/');
        kind.push_str(part);
        if let Some(own) = parts.next() {
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(own);
        }
    }
    (kind, name)
}

/// How long the making of a resource of this type takes, seconds: an estimate for
/// whoever has no earlier run.
pub fn usual_seconds(kind: &str) -> u64 {
    match kind_name(kind) {
        "cluster" => 300,
        "storage account" => 25,
        "container registry" => 15,
        "role assignment" => 20,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_it_is() {
        let cases = [
            (
                "/subscriptions/s/resourceGroups/g",
                "Microsoft.Resources/resourceGroups",
                "g",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
                "Microsoft.Storage/storageAccounts",
                "a",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a/fileServices/default/shares/x",
                "Microsoft.Storage/storageAccounts/fileServices/shares",
                "a/default/x",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r/providers/Microsoft.Authorization/roleAssignments/1-2",
                "Microsoft.Authorization/roleAssignments",
                "1-2",
            ),
        ];
        for (id, kind, name) in cases {
            assert_eq!(kind_and_name(id), (kind.to_owned(), name.to_owned()));
        }
    }
}
